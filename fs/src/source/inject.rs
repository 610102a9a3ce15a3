//! A file or folder of the host under a name in the tree.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forger_block::BlockRead;

use super::{AdapterError, BodyRun, Entry, Error, Rebase, Source};
use crate::folder::{self, Folder, HostFile, Owners};
use crate::observe::Note;
use crate::tree::{check_name, shown};

/// A file or folder of the host under a name in the tree, as a [`Source`].
///
/// A file becomes one entry, with the host's mode unless another is given; where the name ends in
/// `/`, the host's file name is added to it. A folder becomes that folder with all that is in it, as
/// an overlay. A file does not replace a folder: that is an error. What the host's name leads to is taken, should it be a symlink.
#[derive(Debug)]
pub struct Inject(Which);

#[derive(Debug)]
enum Which {
    File(Box<HostFile>),
    Folder(Box<Rebase<Folder>>),
}

impl Inject {
    /// Opens `from` to be `to` in the tree.
    ///
    /// # Errors
    /// When `from` cannot be opened or is neither file nor folder, when `to` is no legal name, or
    /// when a mode is given for a folder.
    pub fn open(from: &Path, to: &[u8], mode: Option<u16>, owners: Owners) -> Result<Self, Error> {
        check_name(to).map_err(|source| AdapterError::Name {
            entry: shown(to),
            source,
        })?;
        let options = folder::Options {
            owners,
            one_file_system: false,
        };
        if !from.is_dir() {
            let mut name = to.to_vec();
            if to.ends_with(b"/") {
                let own = from.file_name().map(OsStr::as_bytes);
                name.extend_from_slice(own.unwrap_or_default());
            }
            let file = HostFile::open(from, &name, mode, owners)?;
            return Ok(Self(Which::File(Box::new(file))));
        }
        if mode.is_some() {
            let path: PathBuf = from.into();
            let folder = shown(path.as_os_str().as_bytes());
            return Err(AdapterError::ModeOfFolder { folder }.into());
        }
        let folder = Rebase::new(Folder::open(from, options)?, to);
        Ok(Self(Which::Folder(Box::new(folder))))
    }

    fn inner(&self) -> &dyn Source {
        match &self.0 {
            Which::File(file) => &**file,
            Which::Folder(folder) => &**folder,
        }
    }

    fn inner_mut(&mut self) -> &mut dyn Source {
        match &mut self.0 {
            Which::File(file) => &mut **file,
            Which::Folder(folder) => &mut **folder,
        }
    }
}

impl Source for Inject {
    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        self.inner_mut().next_entry()
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, Error> {
        self.inner_mut().next_run()
    }

    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        self.inner().origin()
    }

    fn keeps_folders(&self) -> bool {
        matches!(self.0, Which::File(_))
    }

    fn take_notes(&mut self) -> Vec<Note> {
        self.inner_mut().take_notes()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::tree::{Content, Holes, Kind, Meta, Policy, Tree};

    fn injected(from: &Path, to: &str, mode: Option<u16>, owners: Owners) -> Tree<Content> {
        let mut tree = Tree::new(Meta::default());
        let policy = Policy {
            keep_directory_symlink: true,
        };
        let lib = Kind::Symlink((*b"usr/lib").into());
        tree.put(b"usr/lib", Meta::default(), Kind::directory(), policy)
            .unwrap();
        tree.put(b"lib", Meta::default(), lib, policy).unwrap();
        let mut source = Inject::open(from, to.as_bytes(), mode, owners).unwrap();
        tree.add(&mut source, policy, 1 << 20).unwrap();
        tree.settle().unwrap();
        tree
    }

    #[test]
    fn file_is_taken_with_mode_owner_and_content() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("agent");
        fs::write(&from, b"agent's content").unwrap();
        fs::set_permissions(&from, fs::Permissions::from_mode(0o710)).unwrap();
        let owners = Owners::Fixed { uid: 5, gid: 6 };
        for (to, mode, expected) in [
            ("/lib/x/agent2", Some(0o4755), "usr/lib/x/agent2"),
            ("lib/", None, "usr/lib/agent"),
        ] {
            let tree = injected(&from, to, mode, owners);
            let node = tree.node(tree.get(expected.as_bytes()).unwrap());
            assert_eq!(node.meta.mode, mode.unwrap_or(0o710));
            assert_eq!((node.meta.uid, node.meta.gid), (5, 6));
            assert!(node.meta.mtime.is_some());
            let dump = tree.dump(Holes::AsZeros).unwrap();
            let digest = blake3::hash(b"agent's content").to_hex();
            assert!(dump.contains(digest.as_str()), "{dump}");
        }
    }

    #[test]
    fn folder_is_an_overlay_below_the_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("a"), b"1").unwrap();
        fs::hard_link(dir.path().join("a"), dir.path().join("sub/b")).unwrap();
        let tree = injected(dir.path(), "/lib/", None, Owners::Root);
        let a = tree.get(b"usr/lib/a").unwrap();
        assert_eq!(tree.get(b"usr/lib/sub/b"), Some(a));
        assert_eq!(tree.node(a).names(), 2);
        let lib = tree.node(tree.get(b"lib").unwrap());
        assert_eq!(lib.kind.name(), "a symlink", "it is kept");
    }

    #[test]
    fn wrong_names_kinds_and_modes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = |from: &Path, to: &[u8], mode| {
            let error = Inject::open(from, to, mode, Owners::Root).unwrap_err();
            error.to_string()
        };
        assert_eq!(open(dir.path(), b"../x", None), "../x");
        let error = open(dir.path(), b"x", Some(0o755));
        assert!(error.contains("a mode cannot be given"), "{error}");
        let error = open(&dir.path().join("none"), b"x", None);
        assert!(error.starts_with("cannot open /"), "{error}");
        let error = open(Path::new("/dev/null"), b"x", None);
        assert_eq!(error, "/dev/null is neither a file nor a folder");
    }
}
