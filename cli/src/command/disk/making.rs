//! The filesystems of a disk, and the disk around them.

use std::path::Path;
use std::sync::Arc;

use forger::assemble::{self, Disk};
use forger::boot::Architecture;
use forger::layout::repart::{self, Definition, Ground};
use forger_block::BlockRead;
use forger_fs::ext4::{self, Image, Size};

use super::fill::{Filler, Other};
use super::root::{Placing, Wanted, Written};
use super::{Args, failure, layout};
use crate::command::convert::{Target, Work};
use crate::exit::Failure;
use crate::input::Inputs;
use crate::output::Output;
use crate::progress::Console;

/// What a disk is assembled around.
pub(super) struct Grounds {
    /// The root filesystem.
    pub(super) root: Arc<dyn BlockRead>,
    /// Where kernels and loaders are found.
    pub(super) system: Arc<dyn BlockRead>,
    pub(super) summary: ext4::Summary,
    /// Where the root's contents end in it, in bytes, if it is the filesystem of the summary.
    contents_end: Option<u64>,
    /// The output with the root's contents, where they were written there at once.
    written: Option<Written>,
}

/// A disk whose filesystems are being made.
pub(super) struct Making<'a> {
    pub(super) args: &'a Args,
    pub(super) options: assemble::Options,
    pub(super) filler: Filler<'a>,
    /// What is made of the disk.
    pub(super) into: Option<&'a (Target, Output)>,
    pub(super) what: &'a str,
}

impl Making<'_> {
    /// Makes the filesystems of partitions whose sizes are said, or follow from their content.
    ///
    /// # Errors
    /// What cannot be read, or has no room.
    pub(super) fn planned(
        &mut self,
        others: &[Other],
        inputs: &mut Inputs,
        console: &mut Console,
    ) -> Result<Grounds, Failure> {
        for other in others {
            if !other.is_content_sized(&self.options) {
                continue;
            }
            let content = self.filler.content(other, None, [0; 16], console)?;
            self.options.slots[other.slot].part.content = Some(content);
        }
        let size = self.options.root_size();
        let size = size.map_err(|error| failure("cannot make the disk", error))?;
        let mut ext4 = self.filler.ext4.clone();
        ext4.size = size.map_or(ext4.size, Size::Exact);
        let wanted = self.root(&ext4);
        let made = match self.placing()? {
            Some(placing) => wanted.placed(inputs, placing, console)?,
            None => wanted.planned(inputs, console)?,
        };
        let (root, summary) = (made.image, made.summary);
        let len = root.len().next_multiple_of(assemble::ALIGN);
        let sizes = self.options.sizes(Some(size.unwrap_or(len)));
        let sizes = sizes.map_err(|error| failure(self.what, error))?;
        for other in others {
            if self.options.slots[other.slot].part.content.is_none() {
                let len = sizes[other.slot];
                let content = self
                    .filler
                    .content(other, Some(len), summary.uuid, console)?;
                self.options.slots[other.slot].part.content = Some(content);
            }
        }
        Ok(Grounds {
            system: Arc::clone(&root),
            root,
            contents_end: Some(summary.contents_end),
            summary,
            written: made.written,
        })
    }

    /// The filesystem of SOURCE's files that is wanted, with what has it grow.
    fn root<'b>(&'b self, ext4: &'b ext4::Options) -> Wanted<'b> {
        Wanted {
            overlay: self.args.disk.grows().then(assemble::grow_root),
            ext4,
            what: self.what,
        }
    }

    /// Begins the output, where the root's contents have their place in it before anything else is known.
    fn placing(&self) -> Result<Option<Placing<'_>>, Failure> {
        let Some((target, output)) = self.into else {
            return Ok(None);
        };
        let start = self.options.root_start();
        let start = start.map_err(|error| failure(self.what, error))?;
        let Some(place) = target.lead_place(start) else {
            return Ok(None);
        };
        let file = output.open_file()?;
        Ok(file.map(|file| Placing {
            output,
            file,
            place,
        }))
    }

    /// Makes the filesystems that definitions describe: first SOURCE at the size of its content, then all
    /// others from its files.
    ///
    /// # Errors
    /// As [`planned`](Self::planned), and definitions that cannot be followed.
    pub(super) fn defined(
        &mut self,
        definitions: &[Definition],
        inputs: &mut Inputs,
        console: &mut Console,
    ) -> Result<Grounds, Failure> {
        let mut ext4 = self.filler.ext4.clone();
        if matches!(ext4.size, Size::Exact(_)) {
            ext4.size = Size::Auto(ext4::Free::Default);
        }
        let made = self.root(&ext4).planned(inputs, console)?;
        let (system, summary) = (made.image, made.summary);
        let cannot = |error| failure(self.what, assemble::Error::Root(error));
        let image = Image::open(Arc::clone(&system)).map_err(cannot)?;
        let tree = image.tree().map_err(cannot)?;
        let architecture = self.options.architecture;
        let ground = Ground {
            system: &system,
            tree: &tree,
            ext4: &ext4,
            uuid: summary.uuid,
            size: self.options.size,
            sector_size: self.options.sector_size,
            boots: self.options.loader.is_some(),
            architecture: architecture.or_else(|| Architecture::of(&image).ok()),
        };
        let unused = definitions.iter().flat_map(|definition| &definition.unused);
        for (place, key) in unused {
            console.say(&format!("{place}: {key}= changes nothing on a new disk"));
        }
        let path = self.args.disk.layout.as_deref().unwrap_or(Path::new(""));
        let filled = repart::fill(definitions, &ground, console)
            .map_err(|error| layout::refused(path, error))?;
        for file in &filled.given_up {
            console.say(&format!(
                "{file}: there is no room, and its Priority= lets it be given up"
            ));
        }
        self.options.slots = filled.slots;
        self.options.boot_files = filled.boot;
        Ok(Grounds {
            root: filled.root,
            system,
            summary,
            contents_end: None,
            written: None,
        })
    }
}

impl Grounds {
    /// Writes the image of the disk, or what is missing of it in the output; calls `check` before it is
    /// published, and returns how long the file is.
    ///
    /// # Errors
    /// When something cannot be read or written; nothing is published then.
    pub(super) fn write(
        self,
        disk: &Disk,
        target: &Target,
        work: Work<'_>,
        check: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let start = disk.root().start;
        let lead = self.contents_end.map(|end| start..start + end);
        if let (Some(written), Some(lead)) = (self.written, &lead) {
            let rest = disk.with_root(written.rest);
            let rest = rest.map_err(|error| failure(&work.what(), error))?;
            return target.complete(Arc::new(rest), lead, written.file, work, check);
        }
        let image: Arc<dyn BlockRead> = Arc::new(disk.image.clone());
        work.console.meter().expect(image.len());
        target.write_led(image, lead.as_ref(), work, check)
    }
}
