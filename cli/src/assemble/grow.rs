//! What has systemd grow partition and filesystem of the root to the disk.

use forger_fs::tree::{Content, Kind, Meta, Policy, Tree};

/// Has systemd-repart grow the root partition.
const REPART: &str = "[Partition]\nType=root\n";
/// Has the root filesystem grown to its partition: before version 254 systemd does so of itself only for
/// filesystems in fstab.
const GROW_ROOT: &str = "\
[Unit]
Description=Grow the root filesystem to its partition
DefaultDependencies=no
ConditionPathExists=/usr/lib/systemd/systemd-growfs
After=systemd-remount-fs.service systemd-repart.service
Before=local-fs.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/systemd/systemd-growfs /
";

/// Returns what is laid over a root filesystem that shall grow: the configuration of systemd-repart and a
/// unit that grows the filesystem after it.
#[must_use]
pub fn grow_root() -> Tree<Content> {
    let meta = |mode| Meta {
        mode,
        ..Meta::default()
    };
    let mut tree = Tree::new(meta(0o755));
    let text = |text: &'static str| Kind::File(Content::inline(text));
    let link = Kind::Symlink((*b"../grow-root.service").into());
    let units = "usr/lib/systemd/system";
    for (path, mode, kind) in [
        (
            "usr/lib/repart.d/50-root.conf".to_owned(),
            0o644,
            text(REPART),
        ),
        (format!("{units}/grow-root.service"), 0o644, text(GROW_ROOT)),
        (
            format!("{units}/local-fs.target.wants/grow-root.service"),
            0o777,
            link,
        ),
    ] {
        // The names are legal, and nothing else is in the tree.
        let _ = tree.put(path.as_bytes(), meta(mode), kind, Policy::default());
    }
    tree
}
