//! Opens what the command line names as sources, whatever it is: a tar, a stream, a folder.

mod labelled;
mod owned;
mod rootless;
mod stream;

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, IsTerminal, Seek};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use forger_fs::decompress::{self, Format};
use forger_fs::ext4::{Ignore, Layer};
use forger_fs::folder::{self, Folder, Owners};
use forger_fs::observe::{Note, Observer};
use forger_fs::source::{self, Exclude, Select, Source};
use forger_fs::tar;

use crate::args::inject::Inject;
use crate::args::owner::Owner;
use crate::args::source::{Expect, Named, SourceArgs};
use crate::config::Environment;
use crate::exit::Failure;
use crate::progress::Console;
pub(crate) use labelled::InSource;
use labelled::Labelled;
use owned::Owned;
use rootless::Rootless;
use stream::Stream;

/// All sources of one filesystem, open, in the order in which they are laid over each other.
pub(crate) struct Inputs {
    /// Each with whether a folder in it keeps a symlink that it finds in its place.
    sources: Vec<(Box<dyn Source>, bool)>,
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
        };
        let base = opener.named(named)?;
        let mut sources = vec![(opener.selected(base), args.keep_directory_symlink)];
        for path in &args.overlay {
            let label = format!("--overlay {}", path.display());
            let overlay = Labelled::new(opener.overlay(path, &label)?, label);
            sources.push((Box::new(overlay), true));
        }
        for file in &args.inject {
            sources.push((inject(file)?, true));
        }
        Ok(Self { sources })
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

/// How a source is called in messages.
pub(crate) fn shown(named: &Named) -> String {
    if named.is_stdin() {
        "standard input".into()
    } else {
        named.path.display().to_string()
    }
}

struct Opener<'a> {
    args: &'a SourceArgs,
    ignore: Ignore,
    environment: &'a Environment,
    console: &'a mut Console,
}

impl Opener<'_> {
    /// Leaves out, and strips, what the options say.
    fn selected(&self, source: Box<dyn Source>) -> Box<dyn Source> {
        let (exclude, strip) = (&self.args.exclude, self.args.strip_components);
        if exclude.is_empty() && strip == 0 {
            return source;
        }
        let exclude = Exclude::new(exclude.iter().map(|pattern| pattern.as_bytes()));
        Box::new(Select::new(source, exclude, strip))
    }

    /// Opens an overlay. A folder's own mode and times are those of a place to gather files in: the root keeps its own.
    fn overlay(&mut self, path: &Path, label: &str) -> Result<Box<dyn Source>, Failure> {
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

    fn named(&mut self, named: &Named) -> Result<Box<dyn Source>, Failure> {
        if named.is_stdin() {
            return self.stdin();
        }
        self.path(Path::new(&named.path), named.expect)
    }

    fn stdin(&mut self) -> Result<Box<dyn Source>, Failure> {
        let name = "standard input";
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Err(
                Failure::usage("standard input is a terminal, which is no tar archive").help(
                    "pipe an archive in, as in: docker export box | forger ..., or name a file",
                ),
            );
        }
        let open = || -> io::Result<(File, Metadata)> {
            let file = File::from(stdin.as_fd().try_clone_to_owned()?);
            let metadata = file.metadata()?;
            Ok((file, metadata))
        };
        let (mut file, metadata) = open().map_err(|error| cannot("read", name, error))?;
        if metadata.is_file() {
            let read = file.stream_position().unwrap_or(0);
            self.console
                .meter()
                .expect(metadata.len().saturating_sub(read));
        }
        let (signals, meter) = self.watch();
        self.archive(Stream::new(file, signals, meter), name)
    }

    fn path(&mut self, path: &Path, expect: Expect) -> Result<Box<dyn Source>, Failure> {
        let name = path.display().to_string();
        let metadata = std::fs::metadata(path).map_err(|error| missing(path, &name, error))?;
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
                Ok(Box::new(self.folder(path, owners)?))
            }
            (false, Expect::Folder) => {
                Err(Failure::failed(format!("{name} is no folder"))
                    .help("--rootfs-tar takes archives"))
            }
            (false, _) => {
                if metadata.is_file() {
                    self.console.meter().expect(metadata.len());
                }
                let (signals, meter) = self.watch();
                let stream = Stream::open(path, signals, meter);
                self.archive(stream.map_err(|error| cannot("open", &name, error))?, &name)
            }
        }
    }

    fn watch(
        &self,
    ) -> (
        crate::signals::Signals,
        std::sync::Arc<crate::progress::Meter>,
    ) {
        (self.console.signals().clone(), self.console.meter().clone())
    }

    fn archive(&mut self, stream: Stream, name: &str) -> Result<Box<dyn Source>, Failure> {
        let stream = decompress::open(stream, &decompress::Options::default())
            .map_err(|error| cannot("read", name, error))?;
        match stream.format() {
            Format::Plain => self.console.detail(&format!("{name} is not compressed")),
            format => self
                .console
                .detail(&format!("{name} is compressed with {format}")),
        }
        let options = tar::Options {
            concatenated: self.args.concatenated,
            allow_missing_eof: self.args.allow_missing_eof,
            ignore_acl_names: self.ignore.acls,
            ignore_flags: self.ignore.flags,
            ..tar::Options::default()
        };
        let reader = tar::Reader::with_options(stream, options);
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

    fn folder(&self, path: &Path, owners: Owners) -> Result<Folder, Failure> {
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

/// Explains a path that is not there; a bare dash after a folder is a frequent slip.
fn missing(path: &Path, name: &str, error: io::Error) -> Failure {
    let help = (path.as_os_str() == OsStr::new("-"))
        .then(|| "only SOURCE can be standard input".to_owned());
    cannot("open", name, error).help_if(help)
}
