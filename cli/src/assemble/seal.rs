//! What makes one installation of a system that is not yet one: nothing that identifies it or was left by
//! where it was made.
//!
//! Follows systemd's "Building Images Safely" and what virt-sysprep does of itself.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use forger_block::BlockRead;
use forger_fs::observe::Note;
use forger_fs::source::{BodyPlace, BodyRun, Entry, EntryKind, Error, Glob, Source};
use forger_fs::tree::{Content, Kind, Meta, Policy, Tree};

/// What goes, whatever it is.
const NAMES: [&str; 24] = [
    "etc/machine-id",
    "var/lib/dbus/machine-id",
    // Host keys: who has the image could pose as every machine made of it.
    "etc/ssh/ssh_host_*",
    // Seeds and secrets: random numbers that are known are none.
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    "var/lib/urandom/random-seed",
    "var/lib/random-seed",
    "boot/loader/random-seed",
    "boot/efi/loader/random-seed",
    "efi/loader/random-seed",
    // Who was there.
    "var/run/utmp",
    "root/.bash_history",
    "home/*/.bash_history",
    "var/lib/dhcp/*.leases*",
    "var/lib/dhclient/*",
    "var/lib/NetworkManager/*.lease",
    "var/lib/NetworkManager/secret_key",
    "etc/udev/rules.d/70-persistent-net.rules",
    "etc/passwd-",
    "etc/shadow-",
    "etc/group-",
    "etc/gshadow-",
    "etc/subuid-",
    "etc/subgid-",
];

/// Folders of which all but folders goes: programs expect those.
const FOLDERS: [&str; 3] = ["var/log", "tmp", "var/tmp"];

/// A source without what belongs to one installation.
///
/// Symlinks named as what goes stay: they lead to something that does.
#[derive(Debug)]
pub struct Sealed<S> {
    source: S,
    names: Vec<Glob>,
    dropped: Rc<RefCell<Vec<String>>>,
}

impl<S: Source> Sealed<S> {
    /// Seals a source; the names that were dropped gather in `dropped`.
    pub fn new(source: S, dropped: Rc<RefCell<Vec<String>>>) -> Self {
        Self {
            source,
            names: NAMES
                .iter()
                .map(|name| Glob::new(format!("/{name}").as_bytes()))
                .collect(),
            dropped,
        }
    }

    fn drops(&self, path: &[u8], kind: &EntryKind) -> bool {
        match kind {
            EntryKind::Directory | EntryKind::Symlink(_) => return false,
            _ => {}
        }
        let below = |folder: &&str| {
            let rest = path.strip_prefix(folder.as_bytes());
            rest.is_some_and(|rest| rest.starts_with(b"/"))
        };
        FOLDERS.iter().any(below) || self.names.iter().any(|name| name.matches(path))
    }
}

/// Takes away what may stand before and in a name without meaning.
fn plain(path: &[u8]) -> Vec<u8> {
    let steps = path.split(|byte| *byte == b'/');
    let steps: Vec<&[u8]> = steps
        .filter(|step| !step.is_empty() && *step != b".")
        .collect();
    steps.join(&b'/')
}

impl<S: Source> Source for Sealed<S> {
    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        while let Some(entry) = self.source.next_entry()? {
            let path = plain(&entry.path);
            if !self.drops(&path, &entry.kind) {
                return Ok(Some(entry));
            }
            let name = String::from_utf8_lossy(&path).into_owned();
            self.dropped.borrow_mut().push(name);
        }
        Ok(None)
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, Error> {
        self.source.next_run()
    }

    fn next_place(&mut self) -> Result<Option<BodyPlace>, Error> {
        self.source.next_place()
    }

    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        self.source.origin()
    }

    fn keeps_folders(&self) -> bool {
        self.source.keeps_folders()
    }

    fn has_whiteouts(&self) -> bool {
        self.source.has_whiteouts()
    }

    fn take_notes(&mut self) -> Vec<Note> {
        self.source.take_notes()
    }
}

/// Returns what is laid over a sealed root filesystem: an empty machine-id, which systemd fills at boot.
#[must_use]
pub fn machine_id() -> Tree<Content> {
    let meta = |mode| Meta {
        mode,
        ..Meta::default()
    };
    let mut tree = Tree::new(meta(0o755));
    let empty = Kind::File(Content::new());
    // The name is legal, and nothing else is in the tree.
    let _ = tree.put(b"etc/machine-id", meta(0o444), empty, Policy::default());
    tree
}

#[cfg(test)]
mod tests {
    use forger_fs::tree::TreeSource;

    use super::*;

    #[test]
    fn what_identifies_goes_and_folders_and_links_stay() {
        let mut tree = Tree::new(Meta::default());
        for name in [
            "etc/machine-id",
            "etc/ssh/ssh_host_rsa_key",
            "etc/ssh/ssh_host_rsa_key.pub",
            "etc/ssh/sshd_config",
            "etc/passwd",
            "etc/passwd-",
            "home/me/.bash_history",
            "home/me/sub/.bash_history",
            "var/log/apt/history.log",
            "var/log/wtmp",
            "var/logs/kept",
            "tmp/x",
        ] {
            let file = Kind::File(Content::inline(&b"x"[..]));
            tree.put(name.as_bytes(), Meta::default(), file, Policy::default())
                .unwrap();
        }
        let link = Kind::Symlink((*b"/etc/machine-id").into());
        let name = b"var/lib/dbus/machine-id";
        tree.put(name, Meta::default(), link, Policy::default())
            .unwrap();
        let dropped = Rc::default();
        let mut sealed = Sealed::new(TreeSource::new(&tree), Rc::clone(&dropped));
        let mut kept = Vec::new();
        while let Some(entry) = sealed.next_entry().unwrap() {
            if !matches!(entry.kind, EntryKind::Directory) {
                kept.push(String::from_utf8(entry.path).unwrap());
            }
        }
        let expected = [
            "etc/passwd",
            "etc/ssh/sshd_config",
            "home/me/sub/.bash_history",
            "var/lib/dbus/machine-id",
            "var/logs/kept",
        ];
        assert_eq!(kept, expected);
        assert_eq!(dropped.borrow().len(), 8);
        assert_eq!(plain(b"./etc//x/."), b"etc/x");
    }
}
