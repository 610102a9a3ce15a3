use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use forger_block::FileReader;

use super::*;
use crate::ext4::Image;
use crate::tree::{Device, Meta};

mod crash;
mod random;

/// The forms of filesystems that every test goes through: arguments of mke2fs.
pub(super) const FORMS: &[&[&str]] = &[
    &["-t", "ext4"],
    &["-t", "ext4", "-b", "1024"],
    &["-t", "ext4", "-O", "^metadata_csum"],
    &["-t", "ext4", "-O", "^metadata_csum,uninit_bg", "-b", "1024"],
    &["-t", "ext4", "-O", "^64bit"],
    &["-t", "ext4", "-I", "128"],
    &["-t", "ext4", "-O", "^extents,^64bit", "-b", "2048"],
    &["-t", "ext4", "-O", "^filetype", "-b", "1024"],
    &["-t", "ext4", "-O", "^dir_index,^has_journal"],
    &["-t", "ext4", "-O", "meta_bg,^resize_inode", "-b", "1024"],
    &["-t", "ext4", "-b", "65536"],
    &["-t", "ext4", "-O", "metadata_csum_seed,sparse_super2"],
    &["-t", "ext4", "-O", "inline_data,large_dir"],
    &["-t", "ext4", "-O", "ea_inode", "-b", "2048"],
    &["-t", "ext2", "-b", "1024"],
    &["-t", "ext2"],
    &["-t", "ext3"],
    &["-t", "ext3", "-b", "1024", "-I", "128"],
];

/// Tells whether the tools are there, and says so where not.
pub(super) fn tools() -> bool {
    let there = ["mke2fs", "e2fsck", "debugfs"]
        .iter()
        .all(|tool| Command::new(tool).arg("-V").output().is_ok());
    if !there {
        assert!(
            std::env::var_os("REQUIRE_TOOLS").is_none_or(|value| value != "1"),
            "e2fsprogs are missing"
        );
        eprintln!("skipped: e2fsprogs are missing");
    }
    there
}

pub(super) fn make(folder: &Path, form: &[&str], size: &str) -> PathBuf {
    let path = folder.join("image");
    let _ = std::fs::remove_file(&path);
    let out = Command::new("mke2fs")
        .args(["-q", "-F", "-E", "lazy_itable_init=0", "-U"])
        .arg("01234567-89ab-cdef-0123-456789abcdef")
        .args(form)
        .arg(&path)
        .arg(size)
        .output()
        .unwrap();
    assert!(out.status.success(), "{form:?}: {out:?}");
    path
}

/// Asserts that e2fsck finds nothing.
pub(super) fn assert_clean(path: &Path, when: &str) {
    let out = Command::new("e2fsck")
        .args(["-fn"])
        .arg(path)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{when}: {}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}

pub(super) const TIME: Time = Time {
    sec: 1_700_000_000,
    nsec: 5,
};

pub(super) fn edit(path: &Path, edits: impl FnOnce(&mut Editor) -> Result<()>) -> Committed {
    let mut editor = Editor::open(path, TIME).unwrap();
    edits(&mut editor).unwrap();
    editor.commit().unwrap()
}

pub(super) fn dump(path: &Path) -> String {
    let image = Image::open(Arc::new(FileReader::open(path).unwrap())).unwrap();
    dump_of(&image)
}

/// Lists every path with its facts and the digest of its content.
pub(super) fn dump_of(image: &Image) -> String {
    let mut text = Vec::new();
    list(image, InodeNo::ROOT, "", &mut text);
    text.sort();
    format!(
        "{}\nlabel {:?} uuid {:?}",
        text.join("\n"),
        image.superblock().label(),
        image.superblock().uuid()
    )
}

use crate::ext4::InodeNo;

fn list(image: &Image, number: InodeNo, path: &str, text: &mut Vec<String>) {
    let folder = image.inode(number).unwrap();
    for entry in image.list(&folder).unwrap() {
        let inode = image.inode(entry.inode).unwrap();
        let name = format!("{path}/{}", crate::tree::shown(&entry.name));
        let mut facts = format!(
            "{name} {:?} {:o} {}:{} {} links {} {:?} {:?} {:?} {:?}",
            inode.file_type(),
            inode.mode(),
            inode.uid(),
            inode.gid(),
            inode.size(),
            inode.links(),
            inode.mtime(),
            inode.device(),
            image.xattrs(&inode).unwrap(),
            entry.inode,
        );
        match inode.file_type() {
            crate::ext4::FileType::Symlink => {
                facts += &format!(" -> {:?}", image.symlink(&inode).unwrap());
            }
            crate::ext4::FileType::File => {
                let content = image.content(&inode).unwrap();
                let mut bytes = vec![0; usize::try_from(inode.size()).unwrap()];
                content.read_at(0, &mut bytes).unwrap();
                facts += &format!(" {}", blake3::hash(&bytes));
            }
            _ => {}
        }
        text.push(facts);
        if inode.file_type() == crate::ext4::FileType::Directory {
            list(image, entry.inode, &name, text);
        }
    }
}

pub(super) fn bytes(len: usize, seed: u8) -> Arc<dyn forger_block::BlockRead> {
    let mut state = u32::from(seed) + 1;
    let bytes: Vec<u8> = (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect();
    Arc::new(bytes)
}

pub(super) fn meta(mode: u16) -> Meta {
    Meta {
        mode,
        uid: 1000,
        gid: 70_000,
        ..Meta::default()
    }
}

/// One of everything.
pub(super) fn everything(editor: &mut Editor) -> Result<()> {
    editor.mkdir(b"/a/b/c", &meta(0o755), true)?;
    editor.put(b"/a/file", &meta(0o640), bytes(100_000, 1))?;
    editor.put(b"/a/b/empty", &meta(0o644), bytes(0, 1))?;
    editor.put(b"/a/b/small", &meta(0o4755), bytes(17, 2))?;
    editor.symlink(b"../file", b"/a/b/short", &meta(0))?;
    let long = vec![b'x'; 200];
    editor.symlink(&long, b"/a/b/long", &meta(0))?;
    editor.symlink(b"/a/b", b"/direct", &meta(0))?;
    editor.put(b"/direct/c/through", &meta(0o600), bytes(5000, 3))?;
    editor.link(b"/a/file", b"/hard")?;
    let device = Device {
        major: 300,
        minor: 7,
    };
    editor.mknod(b"/dev", Special::CharDevice(device), &meta(0o666))?;
    editor.mknod(b"/pipe", Special::Fifo, &meta(0o600))?;
    editor.chmod(b"/a/file", 0o600)?;
    editor.chown(b"/a/b", Some(3), None)?;
    editor.set_xattr(b"/a/file", b"user.small", b"1")?;
    editor.set_xattr(b"/a/b", b"security.large", &[7; 700])?;
    editor.touch(b"/a/b/small", None, Some(Time::from_sec(1_000_000_000)))
}

#[test]
fn everything_is_clean_in_every_form() {
    if !tools() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for form in FORMS {
        let path = make(folder.path(), form, "64M");
        let way = edit(&path, everything).way;
        eprintln!("{form:?}: {way:?}");
        assert_clean(&path, &format!("{form:?}"));
        let text = dump(&path);
        assert!(
            text.contains("/a/b/c/through File 600 1000:70000 5000"),
            "{text}"
        );
        edit(&path, |editor| {
            editor.remove(b"/a/file", false)?;
            editor.remove_xattr(b"/hard", b"user.small")?;
            editor.set_xattr(b"/a/b", b"security.large", &[8; 600])?;
            editor.rename(b"/a/b/c", b"/moved")?;
            editor.rename(b"/pipe", b"/dev")?;
            editor.put(b"/a/b/small", &meta(0o644), bytes(3_000_000, 9))?;
            editor.set_label(b"new label")?;
            editor.set_uuid([9; 16])
        });
        assert_clean(&path, &format!("{form:?} after changes"));
        let before = dump(&path);
        assert!(before.contains("/moved/through"), "{before}");
        edit(&path, |editor| {
            editor.remove(b"/a", true)?;
            editor.remove(b"/moved", true)?;
            editor.remove(b"/hard", false)
        });
        assert_clean(&path, &format!("{form:?} after removal"));
    }
}

#[test]
fn folders_of_thousands_of_names_are_clean() {
    if !tools() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for form in FORMS {
        let size = if form.contains(&"65536") {
            "600M"
        } else {
            "128M"
        };
        let path = make(folder.path(), &[form, &["-N", "16000"][..]].concat(), size);
        let name =
            |i: u32| format!("/d/name-{:08x}-{i}", i.wrapping_mul(2_654_435_761)).into_bytes();
        edit(&path, |editor| {
            editor.mkdir(b"/d", &meta(0o755), false)?;
            for i in 0..3000 {
                editor.put(&name(i), &meta(0o644), bytes(10, 1))?;
            }
            Ok(())
        });
        assert_clean(&path, &format!("{form:?} filled"));
        edit(&path, |editor| {
            for i in (0..3000).filter(|i| i % 3 != 0) {
                editor.remove(&name(i), false)?;
            }
            for i in 3000..7000 {
                editor.mkdir(&name(i), &meta(0o755), false)?;
            }
            Ok(())
        });
        assert_clean(&path, &format!("{form:?} changed"));
        let image = Image::open(Arc::new(FileReader::open(&path).unwrap())).unwrap();
        for i in 0..7000 {
            let found = image.lookup(&name(i), false).is_ok();
            assert_eq!(found, i % 3 == 0 || i >= 3000, "{form:?} {i}");
        }
        edit(&path, |editor| editor.remove(b"/d", true));
        assert_clean(&path, &format!("{form:?} emptied"));
    }
}

#[test]
fn refusals_change_nothing() {
    if !tools() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = make(folder.path(), FORMS[0], "16M");
    edit(&path, everything);
    let before = std::fs::read(&path).unwrap();
    let mut editor = Editor::open(&path, TIME).unwrap();
    let second = Editor::open(&path, TIME).unwrap_err();
    assert!(matches!(second, EditError::Locked { .. }), "{second}");
    let m = meta(0o644);
    let refused = [
        editor.put(b"/a", &m, bytes(1, 1)),
        editor.put(b"/none/x", &m, bytes(1, 1)),
        editor.put(b"/a/file/x", &m, bytes(1, 1)),
        editor.remove(b"/a", false),
        editor.remove(b"/lost+found", true),
        editor.remove(b"/", true),
        editor.remove(b"/none", true),
        editor.mkdir(b"/a", &m, false),
        editor.mkdir(b"/hard", &m, true),
        editor.rename(b"/a", b"/a/b/c/d"),
        editor.rename(b"/a/b", b"/hard"),
        editor.rename(b"/hard", b"/a"),
        editor.link(b"/a", b"/l"),
        editor.link(b"/hard", b"/a"),
        editor.chmod(b"/direct", 0o644),
        editor.set_xattr(b"/a", b"strange.name", b""),
        editor.remove_xattr(b"/a", b"user.none"),
        editor.set_label(b"seventeen letters"),
        editor.touch(b"/a", None, Some(Time::from_sec(1 << 40))),
        editor.symlink(b"", b"/s", &m),
    ];
    for (i, result) in refused.into_iter().enumerate() {
        assert!(result.is_err(), "{i}");
    }
    drop(editor);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
