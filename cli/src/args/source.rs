//! Where the files come from: one source, then overlays, then injected files.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::Args;
use forger_oci::Platform;

use super::inject::{self, Inject};
use super::network::NetworkArgs;
use super::owner::{self, Owner};
use super::read::ReadArgs;
use crate::exit::Failure;

/// The help text of SOURCE, the same wherever it stands.
pub(crate) const SOURCE_HELP: &str = "Where the files come from: a tar of any compression, a FIFO, \
                                      - for standard input, a folder, or an ext2, ext3 or ext4 image, \
                                      alone or on a disk (vm.qcow2#root), or a folder in one \
                                      (rootfs.ext4:/srv), or a container image: oci:DIR[:NAME], \
                                      oci-archive:FILE, docker-archive:FILE, oci://REGISTRY/NAME";

/// The source and what changes on the way in.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Source")]
pub(crate) struct SourceArgs {
    /// A plain archive is read by a thread of its own: for commands that plan first and write then.
    #[arg(skip)]
    pub(crate) read_ahead: bool,

    /// Another way to name a SOURCE that is a tar; - is standard input
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["rootfs_dir", "from"])]
    pub(crate) rootfs_tar: Option<OsString>,

    /// Another way to name a SOURCE that is a folder
    #[arg(long, value_name = "DIR", conflicts_with = "from")]
    pub(crate) rootfs_dir: Option<OsString>,

    /// Another way to name SOURCE
    #[arg(long, value_name = "SOURCE")]
    pub(crate) from: Option<OsString>,

    /// Owner of the files: keep, root or UID:GID [default: keep; root for a
    /// folder that an ordinary user reads]
    ///
    /// Holds for SOURCE and for overlays. keep takes the owners of the source. Only root can have
    /// unpacked a folder with its owners, so an ordinary user's folders become root's, with a note.
    #[arg(long, value_name = "OWNER", value_parser = owner::parse, verbatim_doc_comment)]
    pub(crate) owner: Option<Owner>,

    /// Leaves out what is mounted inside a folder SOURCE; the mount points stay, empty
    #[arg(long)]
    pub(crate) one_file_system: bool,

    /// Leaves out the entries of SOURCE that match, and all below them (repeatable)
    ///
    /// As with GNU tar, * and ? match slashes too, [a-z] is a set, and a pattern matches from any
    /// part of a name on: '*.pyc', 'var/cache/*'. With a leading / it matches from the root on
    /// only. What is left out of a folder need not be readable.
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<OsString>,

    /// Removes so many leading parts from the names in SOURCE; shorter names are left out [default:
    /// 0]
    ///
    /// As with GNU tar, a leading ./ is one part. --exclude matches the names before that.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) strip_components: usize,

    /// Lays a tar or folder over SOURCE (repeatable, in order)
    ///
    /// Later entries win. A folder over a symlink to a folder keeps the symlink, so that an
    /// overlay's lib/ lands in usr/lib of a merged-usr tree. The owner, mode and times of DIR
    /// itself are not taken; a tar's entry for its root is.
    #[arg(long, value_name = "DIR|TAR")]
    pub(crate) overlay: Vec<PathBuf>,

    /// Adds a file or folder of this machine, after all overlays (repeatable, in order)
    ///
    /// MODE is octal, for files only [default: the file's]; UID:GID are numbers [default: 0:0]. A
    /// DEST that ends in a slash is the folder to put a file in. \: is a colon inside a name.
    #[arg(long, value_name = "SRC:DEST[:MODE[:UID:GID]]", value_parser = inject::Parser)]
    pub(crate) inject: Vec<Inject>,

    /// Keeps a symlink to a folder where SOURCE has a folder of that name later on
    ///
    /// Without it the folder replaces the symlink, as GNU tar does. Overlays always keep it.
    #[arg(long)]
    pub(crate) keep_directory_symlink: bool,

    /// Accepts a tar without its end-of-archive marker, which may be cut short
    #[arg(long)]
    pub(crate) allow_missing_eof: bool,

    /// Reads on after the end-of-archive marker: several tars one after the other
    #[arg(long)]
    pub(crate) concatenated: bool,

    /// The platform of a container image for several: os/arch or os/arch/variant [default: linux and
    /// this machine's architecture]
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<Platform>,

    /// Installs /sbin/forger-init, a script that starts what the container image says: entrypoint,
    /// arguments, environment, folder, user
    ///
    /// For microVMs that boot with init=/sbin/forger-init. The script needs /bin/sh in the image; when
    /// the program has ended, it powers the machine off.
    #[arg(long)]
    pub(crate) init_from_config: bool,

    #[command(flatten)]
    pub(crate) read: ReadArgs,

    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// A source as it was named, before anybody looked what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The path, or `-`.
    pub(crate) path: OsString,
    /// What it must be.
    pub(crate) expect: Expect,
}

/// What a named source must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// A tar, a stream or a folder.
    Any,
    /// A tar or a stream.
    Tar,
    /// A folder.
    Folder,
}

impl Named {
    /// Names a source that may be anything.
    pub(crate) fn any(path: impl Into<OsString>) -> Self {
        Self {
            path: path.into(),
            expect: Expect::Any,
        }
    }

    /// How the source is called in messages.
    pub(crate) fn shown(&self) -> String {
        match self.is_stdin() {
            true => "standard input".to_owned(),
            false => self.path.display().to_string(),
        }
    }

    /// Tells whether it is standard input.
    pub(crate) fn is_stdin(&self) -> bool {
        self.path == OsStr::new("-") && self.expect != Expect::Folder
    }
}

impl SourceArgs {
    /// Tells whether anything is laid over the source, left out of it or changed on the way in.
    pub(crate) fn changes(&self) -> bool {
        !self.overlay.is_empty()
            || !self.inject.is_empty()
            || !self.exclude.is_empty()
            || self.strip_components > 0
            || self.owner.is_some()
    }

    /// Returns the source that an option names, if one does.
    pub(crate) fn by_option(&self) -> Option<Named> {
        let named =
            |path: &Option<OsString>, expect| path.clone().map(|path| Named { path, expect });
        named(&self.rootfs_tar, Expect::Tar)
            .or_else(|| named(&self.rootfs_dir, Expect::Folder))
            .or_else(|| named(&self.from, Expect::Any))
    }

    /// Returns the one source of an optional positional argument and the options that stand for it.
    ///
    /// # Errors
    /// Wrong usage when both are given.
    pub(crate) fn named(&self, positional: Option<&OsString>) -> Result<Option<Named>, Failure> {
        match (positional, self.by_option()) {
            (Some(_), Some(_)) => Err(Failure::usage(
                "the source is given twice, as SOURCE and by an option",
            )
            .help("name it once, and lay the other over it with --overlay")),
            (positional, option) => Ok(positional.map(Named::any).or(option)),
        }
    }
}
