//! Archives of GNU tar, bsdtar and Python, compared with the files they were made of.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::tree::{Device, acl};

/// Tells whether a tool is there; a missing one is reported, and an error where all are required.
pub(super) fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    assert!(
        found || std::env::var_os("REQUIRE_TOOLS").is_none(),
        "{tool} is missing"
    );
    if !found {
        eprintln!("skipped: {tool} is missing");
    }
    found
}

/// Runs a shell script in a folder; it must succeed.
#[track_caller]
pub(super) fn shell(folder: &Path, script: &str) -> Vec<u8> {
    let output = Command::new("sh")
        .args(["-euc", script])
        .current_dir(folder)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {errors}");
    output.stdout
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What every format can hold.
const PLAIN: &str = "
    mkdir -p tree/dir/sub; cd tree
    echo content > file; : > empty; head -c 100000 /dev/zero | tr '\\0' x > large
    chmod 4755 file; chmod 1777 dir; chmod 400 empty
    ln -s ../target dir/soft; ln file dir/hard
    touch -d '2001-02-03 04:05:06.789012345 UTC' large; touch -d '1969-12-31 23:00:00 UTC' dir/sub
";

/// What needs ustar.
const SPECIAL: &str = "
    cd tree; mkfifo fifo; name=$(printf '%090d' 1); mkdir $name; echo long > $name/$name
    if [ $(id -u) = 0 ]; then mknod null c 1 3; mknod loop b 7 4; chown 1234:5678 large; fi
";

/// What needs GNU or PAX.
const LONG: &str = "
    cd tree; name=$(printf '%0200d' 1); mkdir -p $name/$name; echo longer > $name/$name/$name
    ln -s $name/$name/$name soft; ln $name/$name/$name hard
    echo bytes > \"$(printf 'a\\377\\n\\tb')\"
    if [ $(id -u) = 0 ]; then chown 4000000000:3000000000 file; fi
";

struct Tree(tempfile::TempDir);

impl Tree {
    fn new(scripts: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        scripts
            .iter()
            .for_each(|script| drop(shell(folder.path(), script)));
        Self(folder)
    }

    /// Makes an archive with a command and compares it with the tree.
    #[track_caller]
    fn judge(&self, command: &str, nanoseconds: bool) -> Vec<Seen> {
        let archive = shell(self.0.path(), command);
        let (all, notes) = read_with(&archive, Options::default()).unwrap_or_else(|error| {
            panic!("{command}: {error}");
        });
        assert_eq!(notes, [], "{command}");
        let mut files = BTreeMap::new();
        walk(&self.0.path().join("tree"), &mut files);
        let mut seen = BTreeMap::new();
        for member in &all {
            let path = member
                .entry
                .path
                .strip_suffix(b"/")
                .unwrap_or(&member.entry.path);
            let path = self.0.path().join(std::ffi::OsStr::from_bytes(path));
            compare(&self.0, member, &path, nanoseconds);
            assert!(
                seen.insert(path, ()).is_none(),
                "{command}: {member:?} comes twice"
            );
        }
        assert_eq!(
            seen.into_keys().collect::<Vec<_>>(),
            files.into_keys().collect::<Vec<_>>()
        );
        all
    }
}

fn walk(path: &Path, files: &mut BTreeMap<PathBuf, ()>) {
    files.insert(path.to_owned(), ());
    if path.symlink_metadata().unwrap().is_dir() {
        fs::read_dir(path)
            .unwrap()
            .for_each(|entry| walk(&entry.unwrap().path(), files));
    }
}

#[track_caller]
fn compare(root: &tempfile::TempDir, member: &Seen, path: &Path, nanoseconds: bool) {
    let stat = path.symlink_metadata().unwrap();
    let (entry, meta) = (&member.entry, &member.entry.meta);
    let shown = path.display();
    assert_eq!(u32::from(meta.mode), stat.mode() & 0o7777, "{shown}");
    assert_eq!((meta.uid, meta.gid), (stat.uid(), stat.gid()), "{shown}");
    let mtime = meta.mtime.unwrap();
    assert_eq!(mtime.sec, stat.mtime(), "{shown}");
    assert_eq!(
        i64::from(mtime.nsec),
        if nanoseconds { stat.mtime_nsec() } else { 0 },
        "{shown}"
    );
    let device = || Device {
        major: rustix::fs::major(stat.rdev()),
        minor: rustix::fs::minor(stat.rdev()),
    };
    let kind = stat.file_type();
    match &entry.kind {
        EntryKind::File { size } => {
            assert!(kind.is_file(), "{shown}");
            assert_eq!(*size, stat.size(), "{shown}");
            assert!(expanded(member) == fs::read(path).unwrap(), "{shown}");
        }
        EntryKind::HardLink { target, size } => {
            let target = root.path().join(std::ffi::OsStr::from_bytes(target));
            assert_eq!(
                target.symlink_metadata().unwrap().ino(),
                stat.ino(),
                "{shown}"
            );
            assert_eq!(*size, 0, "{shown}");
        }
        EntryKind::Symlink(target) => {
            assert_eq!(
                target,
                fs::read_link(path).unwrap().as_os_str().as_bytes(),
                "{shown}"
            );
        }
        EntryKind::Directory => assert!(kind.is_dir(), "{shown}"),
        EntryKind::CharDevice(found) => {
            assert!(kind.is_char_device() && *found == device(), "{shown}");
        }
        EntryKind::BlockDevice(found) => {
            assert!(kind.is_block_device() && *found == device(), "{shown}");
        }
        EntryKind::Fifo => assert!(kind.is_fifo(), "{shown}"),
        EntryKind::Socket => panic!("a socket"),
    }
}

/// The content with zeros for its holes.
fn expanded(member: &Seen) -> Vec<u8> {
    let (mut content, mut data) = (Vec::new(), &member.data[..]);
    for run in &member.runs {
        let len = usize::try_from(run.unsigned_abs()).unwrap();
        if *run < 0 {
            content.resize(content.len() + len, 0);
        } else {
            let (now, later) = data.split_at(len);
            content.extend_from_slice(now);
            data = later;
        }
    }
    content
}

#[test]
fn archives_of_gnu_tar_equal_the_files() {
    if !has("tar") {
        return;
    }
    let sets: [(&str, &[&str]); 5] = [
        ("v7", &[PLAIN]),
        ("ustar", &[PLAIN, SPECIAL]),
        ("oldgnu", &[PLAIN, SPECIAL, LONG]),
        ("gnu", &[PLAIN, SPECIAL, LONG]),
        ("pax", &[PLAIN, SPECIAL, LONG]),
    ];
    for (format, scripts) in sets {
        // Not every format says that a time is before 1970.
        let negative = matches!(format, "v7" | "ustar");
        let before = if negative {
            "touch tree/dir/sub"
        } else {
            "true"
        };
        let tree = Tree::new(&[scripts, &[before]].concat());
        tree.judge(&format!("tar --format={format} -c tree"), format == "pax");
    }
}

#[test]
fn archives_of_bsdtar_equal_the_files() {
    if !has("bsdtar") {
        return;
    }
    let sets: [(&str, &[&str]); 4] = [
        ("v7tar", &[PLAIN]),
        ("ustar", &[PLAIN, SPECIAL]),
        ("gnutar", &[PLAIN, SPECIAL, LONG]),
        ("pax", &[PLAIN, SPECIAL, LONG]),
    ];
    for (format, scripts) in sets {
        let negative = format != "pax";
        let before = if negative {
            "touch tree/dir/sub"
        } else {
            "true"
        };
        let tree = Tree::new(&[scripts, &[before]].concat());
        tree.judge(
            &format!("bsdtar --format={format} -cf - tree"),
            format == "pax",
        );
    }
}

#[test]
fn archives_of_python_equal_the_files() {
    if !has("python3") {
        return;
    }
    for format in ["USTAR", "GNU", "PAX"] {
        let scripts: &[&str] = match format {
            "USTAR" => &[PLAIN, SPECIAL, "touch tree/dir/sub"],
            _ => &[PLAIN, SPECIAL, LONG],
        };
        let make = format!(
            "import tarfile,sys; t=tarfile.open(fileobj=sys.stdout.buffer,mode='w|',\
             format=tarfile.{format}_FORMAT); t.add('tree'); t.close()"
        );
        let archive = Tree::new(scripts);
        // Python's times are floating-point numbers, which do not hold nanoseconds.
        let bytes = shell(archive.0.path(), &format!("python3 -c \"{make}\""));
        let (all, notes) = read_with(&bytes, Options::default()).unwrap();
        assert_eq!(notes, []);
        for mut member in all {
            let path = archive
                .0
                .path()
                .join(std::ffi::OsStr::from_bytes(&member.entry.path));
            let exact = path.symlink_metadata().unwrap();
            let mtime = member.entry.meta.mtime.as_mut().unwrap();
            let off = (i128::from(mtime.sec) - i128::from(exact.mtime())) * 1_000_000_000
                + (i128::from(mtime.nsec) - i128::from(exact.mtime_nsec()));
            assert!(
                off.abs() < if format == "PAX" { 1000 } else { 1_000_000_000 },
                "{off} ns"
            );
            (mtime.sec, mtime.nsec) = (exact.mtime(), 0);
            compare(&archive.0, &member, &path, false);
        }
    }
}

#[test]
fn sparse_archives_equal_the_files() {
    // Many runs, so that every format needs more than its first block for the map.
    let script = "
        mkdir tree; cd tree; truncate -s 20M all-hole; truncate -s 9M many
        for at in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 \
            30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58
        do echo run $at | dd of=many bs=1 seek=$((at * 131072)) conv=notrunc status=none; done
        truncate -s 3M end; echo end | dd of=end bs=1 seek=3000000 conv=notrunc status=none
    ";
    let commands = [
        ("tar", "tar --sparse --format=oldgnu -c tree"),
        ("tar", "tar --sparse --format=gnu -c tree"),
        (
            "tar",
            "tar --sparse --format=pax --sparse-version=0.0 -c tree",
        ),
        (
            "tar",
            "tar --sparse --format=pax --sparse-version=0.1 -c tree",
        ),
        (
            "tar",
            "tar --sparse --format=pax --sparse-version=1.0 -c tree",
        ),
        ("bsdtar", "bsdtar --format=pax -cf - tree"),
    ];
    let tree = Tree::new(&[script]);
    for (tool, command) in commands {
        if has(tool) {
            let all = tree.judge(command, command.contains("pax"));
            // A file system without holes would make this a weak test.
            let many = all
                .iter()
                .find(|seen| seen.entry.path.ends_with(b"many"))
                .unwrap();
            let holes = many.runs.iter().filter(|run| **run < 0).count();
            assert!(
                holes == 59 || !fs_has_holes(&tree),
                "{command}: {holes} holes"
            );
        }
    }
}

fn fs_has_holes(tree: &Tree) -> bool {
    tree.0
        .path()
        .join("tree/all-hole")
        .metadata()
        .unwrap()
        .blocks()
        < 1000
}

#[test]
fn attributes_in_archives_equal_those_of_the_files() {
    if !is_root() || !has("tar") || !has("bsdtar") || !has("setfattr") || !has("setfacl") {
        eprintln!("skipped: only root can set and read all attributes");
        return;
    }
    let tree = Tree::new(&[
        PLAIN,
        "cd tree
         setfattr -n user.binary -v 0x000a3dff file; setfattr -n user.empty file
         setfattr -n 'user.we=ird%41' -v x file
         setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 large
         setfattr -n security.selinux -v 'system_u:object_r:etc_t:s0' dir
         setfattr -n trusted.overlay.opaque -v y dir
         setfacl -m u:4000:rwx,g:4001:r--,m:rx file dir
         setfacl -d -m u:4000:rwx,g:daemon:r-- dir",
    ]);
    let paths = |member: &Seen| {
        let path = member
            .entry
            .path
            .strip_suffix(b"/")
            .unwrap_or(&member.entry.path);
        tree.0.path().join(std::ffi::OsStr::from_bytes(path))
    };
    for command in [
        "tar --format=pax --xattrs --xattrs-include='*' --acls --selinux -c tree",
        "bsdtar --format=pax -cf - tree",
    ] {
        for member in tree.judge(command, true) {
            if matches!(member.entry.kind, EntryKind::HardLink { .. }) {
                continue;
            }
            let expected = attributes(&paths(&member));
            let found = member.entry.meta.xattrs.clone().into_iter();
            let found = found.map(|(name, value)| (name.to_vec(), value.to_vec()));
            let found = found.collect::<BTreeMap<_, _>>();
            assert_eq!(found, expected, "{command}: {}", paths(&member).display());
        }
    }
    // As text alone the ACL of `dir` names a group, which is refused unless ignored.
    let text = shell(tree.0.path(), "tar --format=pax --acls -c tree/dir");
    let error = read(&text).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unrepresentable {
                ignore: Some("acls"),
                ..
            }
        ),
        "{error}"
    );
    let options = Options {
        ignore_acl_names: true,
        ..Options::default()
    };
    let all = read_with(&text, options).unwrap().0;
    let default = acl::Acl::from_attribute(&all[0].entry.meta.xattrs[acl::DEFAULT]).unwrap();
    assert_eq!(
        default.to_string(),
        "user::rwx,user:4000:rwx,group::rwx,mask::rwx,other::rwx"
    );
}

/// Returns a file's attributes as the system has them.
fn attributes(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = [0; 4096];
    let len = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..len]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = [0; 4096];
        let len = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        value[..len].to_vec()
    };
    names.map(|name| (name.to_vec(), value(name))).collect()
}
