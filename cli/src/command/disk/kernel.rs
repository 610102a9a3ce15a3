//! `--extract-kernel DIR`

use std::path::{Path, PathBuf};

use forger::assemble;
use forger::boot::{self, Kernel};
use forger_block::{BlockRead, PendingFile, Publish, Target, check_target};
use forger_fs::ext4::Image;
use forger_fs::tree::Content;

use super::failure;
use crate::args::run::WriteArgs;
use crate::exit::Failure;
use crate::remedy;

/// The names of what is written.
const NAMES: [&str; 4] = ["vmlinuz", "initrd", "cmdline", "config"];
/// How much is copied at once, in bytes.
const PIECE: u64 = 1 << 20;

/// A folder for a kernel, not yet written.
pub(super) struct Extraction {
    folder: PathBuf,
    publish: Publish,
}

/// Files that wait for their names.
pub(super) struct Extracted {
    files: Vec<(PathBuf, PendingFile)>,
    publish: Publish,
    what: String,
}

impl Extraction {
    /// Looks at what is in the folder, before any work is done.
    ///
    /// # Errors
    /// What is there already.
    pub(super) fn check(folder: &Path, write: WriteArgs) -> Result<Self, Failure> {
        // A folder that is not there is made, and has nothing in it.
        let names = NAMES.into_iter().filter(|_| folder.exists());
        for name in names {
            let path = folder.join(name);
            let what = format!("cannot write {}", path.display());
            match check_target(&path, write.force) {
                Ok(Target::Regular(_)) => {}
                Ok(_) => return Err(Failure::failed(what).because("it is no regular file")),
                Err(error) => return Err(remedy::block(what, error)),
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            publish: Publish {
                force: write.force,
                sync: !write.no_sync,
            },
        })
    }

    /// Writes the newest kernel of a root filesystem, and what starts it; nothing has its name yet.
    ///
    /// # Errors
    /// No kernel, or files that cannot be written.
    pub(super) fn extract(
        self,
        system: &Image,
        options: &assemble::Options,
        cmdline: &str,
    ) -> Result<Extracted, Failure> {
        let what = format!("cannot extract a kernel into {}", self.folder.display());
        let failed = |error: boot::Error| failure(&what, error.into());
        let kernels = options.own_initrd.kernels(system).map_err(failed)?;
        let Some(kernel) = kernels.first() else {
            return Err(failed(boot::Error::NoKernel));
        };
        let cmdline = Content::inline(format!("{cmdline}\n").into_bytes());
        let contents = [
            Some(kernel.image.clone()),
            Some(initrd(kernel, &options.initrds)).filter(|content| content.size() > 0),
            Some(cmdline),
            kernel.config.clone(),
        ];
        let block = |error| remedy::block(what.clone(), error);
        std::fs::create_dir_all(&self.folder)
            .map_err(|error| Failure::failed(what.clone()).because(error))?;
        let mut files = Vec::new();
        for (name, content) in NAMES.into_iter().zip(contents) {
            let Some(content) = content else { continue };
            let path = self.folder.join(name);
            let file = write(&path, &content).map_err(block)?;
            files.push((path, file));
        }
        Ok(Extracted {
            files,
            publish: self.publish,
            what,
        })
    }
}

fn initrd(kernel: &Kernel, before: &[Content]) -> Content {
    let own = kernel.initrds.iter().map(|initrd| &initrd.content);
    boot::joined(before.iter().chain(own))
}

fn write(path: &Path, content: &Content) -> forger_block::Result<PendingFile> {
    let file = PendingFile::for_target(path)?;
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < content.size() {
        let len = PIECE.min(content.size() - at);
        buffer.resize(usize::try_from(len).unwrap_or(0), 0);
        content.read_at(at, &mut buffer)?;
        file.write_at(at, &buffer)?;
        at += len;
    }
    Ok(file)
}

impl Extracted {
    /// Gives the files their names; returns these.
    ///
    /// # Errors
    /// When they cannot be named.
    pub(super) fn publish(self) -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        for (path, file) in self.files {
            file.publish(self.publish)
                .map_err(|error| remedy::block(self.what.clone(), error))?;
            names.push(path.display().to_string());
        }
        Ok(names)
    }
}
