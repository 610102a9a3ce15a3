//! Opens what the command line names as sources, whatever it is: a tar, a stream, a folder.

pub(crate) mod compared;
pub(crate) mod disk;
mod init;
mod labelled;
mod owned;
mod recognize;
mod rootless;
pub(crate) mod stream;

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use forger::address::Address;
use forger::assemble::{Sealed, machine_id};
use forger_block::FileReader;

use forger_fs::decompress::{self, Format};
use forger_fs::ext4::{Ignore, Layer};
use forger_fs::folder::{self, Folder, Owners};
use forger_fs::observe::{Note, Observer};
use forger_fs::source::{self, Exclude, Select, Source};
use forger_fs::tar;
use forger_fs::tree::{CollectError, Content, INLINE_LIMIT, Meta, Policy, Tree, TreeSource};
use forger_oci::layer::LayerOptions;
use forger_oci::{ImageConfiguration, Transport};

use crate::args::inject::Inject;
use crate::args::owner::Owner;
use crate::args::source::{Expect, Named, SourceArgs};
use crate::config::{self, Environment};
use crate::exit::Failure;
use crate::image::readable;
use crate::medium::Medium;
use crate::oci;
use crate::progress::Console;
pub(crate) use labelled::InSource;
use labelled::Labelled;
use owned::Owned;
pub(crate) use recognize::is_image;
use rootless::Rootless;

/// All sources of one filesystem, open, in the order in which they are laid over each other.
pub(crate) struct Inputs {
    /// Each with whether a folder in it keeps a symlink that it finds in its place.
    sources: Vec<(Box<dyn Source>, bool)>,
    /// How many of them are SOURCE: the layers of a container image are several.
    base: usize,
    again: Again,
    folders: Vec<PathBuf>,
    /// What a container image says how it is run.
    config: Option<ImageConfiguration>,
}

/// Whether contents can be read again, at any offset, after all entries have been seen.
#[derive(Default)]
struct Again {
    files: Vec<Arc<FileReader>>,
    /// A source can only be read once, from its start to its end.
    once: bool,
}

impl Inputs {
    /// Opens the source and everything that is laid over it.
    ///
    /// # Errors
    /// What cannot be opened, or is not what it is said to be.
    pub(crate) fn open(
        named: &Named,
        args: &SourceArgs,
        ignore: Ignore,
        environment: &Environment,
        console: &mut Console,
    ) -> Result<Self, Failure> {
        let mut opener = Opener {
            args,
            ignore,
            environment,
            console,
            again: Again::default(),
            folders: Vec::new(),
            config: None,
        };
        let base = opener.named(named)?;
        let mut sources: Vec<_> = base
            .into_iter()
            .map(|source| (opener.selected(source), args.keep_directory_symlink))
            .collect();
        let base = sources.len();
        let config = opener.config.take();
        if args.init_from_config {
            let Some(config) = &config else {
                return Err(Failure::usage(format!(
                    "--init-from-config: {} is no container image, and has no configuration",
                    named.shown()
                )));
            };
            opener.again.once = true;
            sources = init::add(sources, config)?;
        }
        for path in &args.overlay {
            let label = format!("--overlay {}", path.display());
            let overlay = Labelled::new(opener.overlay(path, &label)?, label);
            sources.push((Box::new(overlay), true));
        }
        for file in &args.inject {
            opener.again.once = true;
            sources.push((inject(file)?, true));
        }
        let (again, folders) = (opener.again, opener.folders);
        Ok(Self {
            sources,
            base,
            again,
            folders,
            config,
        })
    }

    /// Opens nothing: the sources of an empty filesystem.
    pub(crate) fn none() -> Self {
        Self {
            sources: Vec::new(),
            base: 0,
            again: Again::default(),
            folders: Vec::new(),
            config: None,
        }
    }

    /// Leaves out of SOURCE what belongs to one installation, and empties its machine-id; returns where
    /// the names of what was left out gather. What is laid over SOURCE stays.
    pub(crate) fn seal(&mut self) -> Rc<RefCell<Vec<String>>> {
        let dropped = Rc::default();
        if self.base > 0 {
            let above = self.sources.split_off(self.base);
            let base = std::mem::take(&mut self.sources);
            for (source, overlay) in base {
                let sealed = Sealed::new(source, Rc::clone(&dropped));
                self.sources.push((Box::new(sealed), overlay));
            }
            // The source borrows the tree, and both live until the command ends.
            let empty = TreeSource::new(Box::leak(Box::new(machine_id())));
            self.sources.push((Box::new(empty), true));
            self.sources.extend(above);
        }
        dropped
    }

    /// Takes all sources as one tree, of contents that are read where they stand or held in memory.
    ///
    /// # Errors
    /// Whatever is wrong with the sources.
    pub(crate) fn tree(&mut self) -> Result<Tree<Content>, CollectError> {
        let mut tree = Tree::new(Meta {
            mode: 0o755,
            ..Meta::default()
        });
        for layer in self.layers() {
            let policy = Policy {
                keep_directory_symlink: layer.overlay,
            };
            tree.add(layer.source, policy, INLINE_LIMIT)?;
        }
        tree.settle().map_err(CollectError::Links)?;
        Ok(tree)
    }

    /// Says it when the output will stand in a folder that is read: a second run would take it in.
    pub(crate) fn warn_of(&self, output: Option<&Path>, console: &mut Console) {
        let Some(output) = output.and_then(|folder| folder.canonicalize().ok()) else {
            return;
        };
        for folder in &self.folders {
            if folder
                .canonicalize()
                .is_ok_and(|folder| output.starts_with(folder))
            {
                console.say(&format!(
                    "the output appears inside {}, where the next run reads it as well (--exclude leaves it out)",
                    folder.display()
                ));
            }
        }
    }

    /// Returns how the container image says it is run, where the source is one.
    pub(crate) fn config(&self) -> Option<&ImageConfiguration> {
        self.config.as_ref()
    }

    /// Tells whether every content can be read again where it stands: an image can be planned from
    /// these sources without keeping anything.
    pub(crate) fn are_seekable(&self) -> bool {
        !self.again.once
    }

    /// Checks that no file changed since it was opened.
    ///
    /// # Errors
    /// The file that did.
    pub(crate) fn check_unchanged(&self) -> forger_block::Result<()> {
        self.again
            .files
            .iter()
            .try_for_each(|file| file.check_unchanged())
    }

    /// Returns the layers as the ext4 writer takes them.
    pub(crate) fn layers(&mut self) -> Vec<Layer<'_>> {
        self.sources
            .iter_mut()
            .map(|(source, overlay)| Layer {
                source: &mut **source,
                overlay: *overlay,
            })
            .collect()
    }
}

struct Opener<'a> {
    args: &'a SourceArgs,
    ignore: Ignore,
    environment: &'a Environment,
    console: &'a mut Console,
    again: Again,
    folders: Vec<PathBuf>,
    config: Option<ImageConfiguration>,
}

impl Opener<'_> {
    /// Leaves out, and strips, what the options say.
    fn selected(&self, source: Box<dyn Source>) -> Box<dyn Source> {
        let (exclude, strip) = (&self.args.exclude, self.args.strip_components);
        if exclude.is_empty() && strip == 0 {
            return source;
        }
        Box::new(Select::new(source, self.excluded(), strip))
    }

    fn excluded(&self) -> Exclude {
        Exclude::new(self.args.exclude.iter().map(|pattern| pattern.as_bytes()))
    }

    /// Opens an overlay. A folder's own mode and times are those of a place to gather files in: the
    /// root keeps its own.
    fn overlay(&mut self, path: &Path, label: &str) -> Result<Box<dyn Source>, Failure> {
        if path.as_os_str() == OsStr::new("-") {
            return Err(
                Failure::usage("only SOURCE can be standard input, not an overlay")
                    .help("./- is a file of that name"),
            );
        }
        if !path.is_dir() {
            return self.path(path, Expect::Tar);
        }
        let (owners, mapped) = self.owners();
        if mapped {
            self.console.say(&format!(
                "{label}: its files are owned by root in the output (--owner keep keeps the owners)"
            ));
        }
        Ok(Box::new(Rootless::new(self.folder(path, owners)?)))
    }

    /// Opens a source: one, or the layers of a container image.
    fn named(&mut self, named: &Named) -> Result<Vec<Box<dyn Source>>, Failure> {
        if named.is_stdin() {
            return Ok(vec![self.archive(OsStr::new("-"))?]);
        }
        if let (Expect::Any, Some(transport)) = (named.expect, oci::transport(&named.path)?) {
            return self.layers(&transport);
        }
        Ok(vec![self.path(Path::new(&named.path), named.expect)?])
    }

    /// Opens the layers of a container image, the lowest first.
    fn layers(&mut self, transport: &Transport) -> Result<Vec<Box<dyn Source>>, Failure> {
        let image = oci::Image::open(
            transport,
            self.args.platform.as_ref(),
            &self.args.network,
            self.console,
        )?;
        self.console.detail(&format!(
            "{transport} is image {} with {} layers",
            image.descriptor.digest(),
            image.manifest.layers().len()
        ));
        self.again.once = true;
        let options = LayerOptions {
            threads: config::processors(),
            tar: self.tar_options(),
            ..LayerOptions::default()
        };
        let (layers, config) = image.layers(&options)?;
        self.config = Some(config);
        let owner = self.args.owner;
        Ok(layers
            .into_iter()
            .map(|source| -> Box<dyn Source> {
                match owner {
                    Some(Owner::Ids(uid, gid)) => Box::new(Owned::new(source, uid, gid)),
                    Some(Owner::Keep) | None => Box::new(source),
                }
            })
            .collect())
    }

    /// Returns how archives are read.
    fn tar_options(&self) -> tar::Options {
        tar::Options {
            concatenated: self.args.concatenated,
            allow_missing_eof: self.args.allow_missing_eof,
            ignore_acl_names: self.ignore.acls,
            ignore_flags: self.ignore.flags,
            ..tar::Options::default()
        }
    }

    fn path(&mut self, path: &Path, expect: Expect) -> Result<Box<dyn Source>, Failure> {
        let name = path.display().to_string();
        let address = Address::parse(path.as_os_str(), |path| path.exists());
        if expect == Expect::Any && (address.part.is_some() || address.path.is_some()) {
            return self.image(&address);
        }
        let metadata = std::fs::metadata(path).map_err(|error| cannot("open", &name, error))?;
        match (metadata.is_dir(), expect) {
            (true, Expect::Tar) => Err(Failure::failed(format!(
                "{name} is a folder, not a tar archive"
            ))
            .help("--rootfs-dir takes folders")),
            (true, _) => {
                let (owners, mapped) = self.owners();
                if mapped {
                    self.console.note(Note::OwnersMapped);
                }
                // The folder itself passes over what is left out, readable or not.
                let folder = self.folder(path, owners)?.with_exclude(self.excluded());
                Ok(Box::new(folder))
            }
            (false, Expect::Folder) => {
                Err(Failure::failed(format!("{name} is no folder"))
                    .help("--rootfs-tar takes archives"))
            }
            (false, Expect::Any) if metadata.is_file() && is_image(path) => self.image(&address),
            (false, _) => self.archive(path.as_os_str()),
        }
    }

    /// Opens an ext2, ext3 or ext4 image, on a disk or alone; its contents are read in the order of
    /// its names.
    fn image(&mut self, address: &Address) -> Result<Box<dyn Source>, Failure> {
        let medium = Medium::open_watched(address, &self.args.read, self.console)?;
        self.again.files.push(Arc::clone(&medium.file));
        let failed = || Failure::failed(format!("cannot read {}", address.disk()));
        let tree = readable(address, &medium)?
            .tree()
            .map_err(|error| failed().because(error))?;
        let path = String::from_utf8_lossy(address.path_or_root()).into_owned();
        let folder = tree
            .get(address.path_or_root())
            .ok_or_else(|| failed().because(format!("there is no {path}")))?;
        if tree.node(folder).directory().is_none() {
            return Err(failed()
                .because(format!("{path} is no folder"))
                .help("--inject takes single files"));
        }
        // The source borrows the tree, and both live until the command ends.
        let source = TreeSource::below(Box::leak(Box::new(tree)), folder);
        Ok(match self.args.owner {
            Some(Owner::Ids(uid, gid)) => Box::new(Owned::new(source, uid, gid)),
            Some(Owner::Keep) | None => Box::new(source),
        })
    }

    /// Opens an archive, or standard input for `-`.
    fn archive(&mut self, path: &OsStr) -> Result<Box<dyn Source>, Failure> {
        let name = stream::shown(path);
        let stream = stream::open(path, "tar archive", self.console)?;
        let file = stream.as_file(&name);
        let options = decompress::Options {
            read_ahead: self.args.read_ahead,
            ..decompress::Options::default()
        };
        let stream =
            decompress::open(stream, &options).map_err(|error| cannot("read", &name, error))?;
        match stream.format() {
            Format::Plain => self.console.detail(&format!("{name} is not compressed")),
            format => self
                .console
                .detail(&format!("{name} is compressed with {format}")),
        }
        let options = self.tar_options();
        let plain = stream.format() == Format::Plain;
        let mut reader = tar::Reader::with_options(stream, options);
        match file.filter(|_| plain) {
            Some(file) => {
                let file = Arc::new(file);
                self.again.files.push(Arc::clone(&file));
                reader = reader.with_origin(file);
            }
            None => self.again.once = true,
        }
        Ok(match self.args.owner {
            Some(Owner::Ids(uid, gid)) => Box::new(Owned::new(reader, uid, gid)),
            Some(Owner::Keep) | None => Box::new(reader),
        })
    }

    /// Returns who owns the files of folders, and whether that needs to be said.
    fn owners(&self) -> (Owners, bool) {
        match self.args.owner {
            Some(Owner::Keep) => (Owners::Keep, false),
            Some(Owner::Ids(uid, gid)) => (Owners::Fixed { uid, gid }, false),
            None if self.environment.uid == 0 => (Owners::Keep, false),
            None => (Owners::Root, true),
        }
    }

    fn folder(&mut self, path: &Path, owners: Owners) -> Result<Folder, Failure> {
        self.again.once = true;
        self.folders.push(path.to_owned());
        let options = folder::Options {
            owners,
            one_file_system: self.args.one_file_system,
        };
        Folder::open(path, options).map_err(|error| {
            Failure::failed(format!("cannot take the folder {}", path.display())).because(error)
        })
    }
}

/// Opens one injected file or folder.
fn inject(file: &Inject) -> Result<Box<dyn Source>, Failure> {
    let owners = match file.owner {
        Some((uid, gid)) => Owners::Fixed { uid, gid },
        None => Owners::Root,
    };
    let label = format!("--inject {}", file.from.display());
    let source = source::Inject::open(&file.from, &file.to, file.mode, owners)
        .map_err(|error| Failure::failed(format!("cannot take {label}")).because(error))?;
    Ok(Box::new(Labelled::new(Box::new(source), label)))
}

fn cannot(verb: &str, name: &str, error: io::Error) -> Failure {
    Failure::failed(format!("cannot {verb} {name}")).because(error)
}
