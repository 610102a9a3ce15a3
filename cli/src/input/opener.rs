//! Opens each thing that can be a source.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forger::address::Address;
use forger_block::FileReader;
use forger_fs::decompress::{self, Format};
use forger_fs::ext4::Ignore;
use forger_fs::folder::{self, Folder, Owners};
use forger_fs::observe::{Note, Observer};
use forger_fs::source::{self, Exclude, Select, Source};
use forger_fs::tar;
use forger_fs::tree::TreeSource;
use forger_oci::layer::LayerOptions;
use forger_oci::{ImageConfiguration, Transport};

use super::labelled::Labelled;
use super::owned::Owned;
use super::recognize::is_image;
use super::rootless::Rootless;
use super::stream;
use crate::args::inject::Inject;
use crate::args::owner::Owner;
use crate::args::source::{Expect, Named, SourceArgs};
use crate::config::{self, Environment};
use crate::exit::Failure;
use crate::image::readable;
use crate::medium::Medium;
use crate::oci;
use crate::progress::Console;

/// Whether contents can be read again, at any offset, after all entries have been seen.
#[derive(Default)]
pub(super) struct Again {
    pub(super) files: Vec<Arc<FileReader>>,
    /// A source can only be read once, from its start to its end.
    pub(super) once: bool,
}

/// How files of folders and layers of container images are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Once, in order: what changes later changes nothing.
    Once,
    /// Where they stand, for as long as the command runs: what changes meanwhile is an error.
    InPlace,
}

/// Opens sources, and gathers what is known of them.
pub(super) struct Opener<'a> {
    pub(super) way: Way,
    pub(super) args: &'a SourceArgs,
    pub(super) ignore: Ignore,
    pub(super) environment: &'a Environment,
    pub(super) console: &'a mut Console,
    pub(super) again: Again,
    pub(super) folders: Vec<PathBuf>,
    pub(super) config: Option<ImageConfiguration>,
}

impl Opener<'_> {
    /// Leaves out, and strips, what the options say.
    pub(super) fn selected(&self, source: Box<dyn Source>) -> Box<dyn Source> {
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
    pub(super) fn overlay(&mut self, path: &Path, label: &str) -> Result<Box<dyn Source>, Failure> {
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
    pub(super) fn named(&mut self, named: &Named) -> Result<Vec<Box<dyn Source>>, Failure> {
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
            in_place: self.way == Way::InPlace,
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
        let metadata = std::fs::metadata(path).map_err(|error| {
            let failure = cannot("open", &name, error);
            match expect == Expect::Any && is_perhaps_in_a_registry(path) {
                true => failure.help(format!("an image in a registry is oci://{name}")),
                false => failure,
            }
        })?;
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
        self.folders.push(path.to_owned());
        let options = folder::Options {
            owners,
            one_file_system: self.args.one_file_system,
        };
        let folder = Folder::open(path, options);
        let folder = match self.way {
            Way::InPlace => folder.and_then(Folder::in_place),
            Way::Once => {
                self.again.once = true;
                folder
            }
        };
        folder.map_err(|error| {
            Failure::failed(format!("cannot take the folder {}", path.display())).because(error)
        })
    }
}

/// Opens one injected file or folder.
pub(super) fn inject(file: &Inject) -> Result<Box<dyn Source>, Failure> {
    let owners = match file.owner {
        Some((uid, gid)) => Owners::Fixed { uid, gid },
        None => Owners::Root,
    };
    let label = format!("--inject {}", file.from.display());
    let source = source::Inject::open(&file.from, &file.to, file.mode, owners)
        .map_err(|error| Failure::failed(format!("cannot take {label}")).because(error))?;
    Ok(Box::new(Labelled::new(Box::new(source), label)))
}

/// Tells whether a path that leads nowhere could be meant as the name of an image in a registry.
fn is_perhaps_in_a_registry(path: &Path) -> bool {
    let name = format!("oci://{}", path.display());
    path.extension().is_none() && !path.exists() && oci::transport(OsStr::new(&name)).is_ok()
}

fn cannot(verb: &str, name: &str, error: io::Error) -> Failure {
    Failure::failed(format!("cannot {verb} {name}")).because(error)
}
