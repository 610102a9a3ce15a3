use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

use rustix::fs::{
    AtFlags, CWD, FileType, Timespec, Timestamps, XattrFlags, mkdirat, mknodat, openat,
};
use tempfile::TempDir;

use super::*;
use crate::tree::{Content, Holes, InodeFlags, Policy, Time, Tree};

const ROOT: Options = Options {
    owners: Owners::Root,
    one_file_system: false,
};

/// An entry with its content: data as it is, a hole as its length.
#[derive(Debug)]
struct Taken {
    entry: Entry,
    data: Vec<u8>,
    runs: Vec<(bool, u64)>,
}

fn take_with(path: &Path, options: Options) -> Result<Vec<Taken>, source::Error> {
    let mut folder = Folder::open(path, options).unwrap();
    let mut all = Vec::new();
    while let Some(entry) = folder.next_entry()? {
        let (mut data, mut runs) = (Vec::new(), Vec::<(bool, u64)>::new());
        while let Some(run) = folder.next_run()? {
            let (kind, len) = match run {
                BodyRun::Data { bytes, at } => {
                    assert_eq!(at, None);
                    data.extend_from_slice(bytes);
                    (true, bytes.len() as u64)
                }
                BodyRun::Hole(len) => {
                    data.resize(data.len() + usize::try_from(len).unwrap(), 0);
                    (false, len)
                }
            };
            match runs.last_mut() {
                Some(last) if last.0 == kind => last.1 += len,
                _ => runs.push((kind, len)),
            }
        }
        all.push(Taken { entry, data, runs });
    }
    Ok(all)
}

fn take(path: &Path) -> Vec<Taken> {
    take_with(path, ROOT).unwrap()
}

fn find<'a>(all: &'a [Taken], path: &str) -> &'a Taken {
    let found = all.iter().find(|taken| taken.entry.path == path.as_bytes());
    found.unwrap_or_else(|| panic!("{path} is missing in {all:#?}"))
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn write(dir: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

/// Says why a test is left out; an error where the tests must be complete.
fn skip(reason: &str) {
    assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "{reason}");
    eprintln!("skipped: {reason}");
}

#[test]
fn entries_come_depth_first_in_order_of_raw_names() {
    let dir = folder();
    fs::create_dir_all(dir.path().join("b/c")).unwrap();
    for name in ["b/c/z", "b-", "b/a", "a", "é", "Z"] {
        write(&dir, name, name.as_bytes());
    }
    let all = take(dir.path());
    let names: Vec<_> = all.iter().map(|taken| shown(&taken.entry.path)).collect();
    assert_eq!(
        names,
        ["./", "Z", "a", "b", "b/a", "b/c", "b/c/z", "b-", "é"]
    );
    assert_eq!(find(&all, "b/c/z").data, b"b/c/z");
    assert!(matches!(find(&all, "./").entry.kind, EntryKind::Directory));
}

#[test]
fn mode_and_mtime_are_taken_and_other_times_left_out() {
    let dir = folder();
    let path = write(&dir, "a", b"");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o6751)).unwrap();
    let time = Timespec {
        tv_sec: -12,
        tv_nsec: 123_456_789,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, &path, &times, AtFlags::empty()).unwrap();
    let all = take(dir.path());
    let meta = &find(&all, "a").entry.meta;
    assert_eq!(meta.mode, 0o6751);
    let time = Time {
        sec: -12,
        nsec: 123_456_789,
    };
    assert_eq!(meta.mtime, Some(time));
    assert_eq!([meta.atime, meta.ctime, meta.crtime], [None; 3]);
}

#[test]
fn owners_are_root_or_kept_or_fixed() {
    let dir = folder();
    let path = write(&dir, "a", b"");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(1234), Some(4_000_000_000)).unwrap();
    }
    let host = fs::metadata(&path).unwrap();
    for (owners, expected) in [
        (Owners::Root, (0, 0)),
        (Owners::Keep, (host.uid(), host.gid())),
        (
            Owners::Fixed {
                uid: 7,
                gid: u32::MAX - 1,
            },
            (7, u32::MAX - 1),
        ),
    ] {
        let options = Options { owners, ..ROOT };
        let all = take_with(dir.path(), options).unwrap();
        let meta = &find(&all, "a").entry.meta;
        assert_eq!((meta.uid, meta.gid), expected);
    }
}

#[test]
fn hard_links_are_found_within_the_folder_only() {
    let (dir, outside) = (folder(), folder());
    let path = write(&dir, "m", b"content");
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::hard_link(&path, dir.path().join("d/a")).unwrap();
    fs::hard_link(&path, dir.path().join("z")).unwrap();
    fs::hard_link(write(&dir, "o", b"x"), outside.path().join("o")).unwrap();
    let mut source = Folder::open(dir.path(), ROOT).unwrap();
    let mut kinds = Vec::new();
    while let Some(entry) = source.next_entry().unwrap() {
        kinds.push((shown(&entry.path), entry.kind));
    }
    let link = || EntryKind::HardLink {
        target: b"d/a".to_vec(),
        size: 0,
    };
    let expected = [
        ("./", EntryKind::Directory),
        ("d", EntryKind::Directory),
        ("d/a", EntryKind::File { size: 7 }),
        ("m", link()),
        ("o", EntryKind::File { size: 1 }),
        ("z", link()),
    ];
    assert_eq!(kinds, expected.map(|(path, kind)| (path.to_owned(), kind)));
    assert_eq!(source.links.len(), 1, "only the file with a name elsewhere");
}

#[test]
fn symlinks_are_data_and_never_followed() {
    let (dir, outside) = (folder(), folder());
    write(&outside, "secret", b"");
    symlink(outside.path(), dir.path().join("out")).unwrap();
    symlink("../../no//such/./", dir.path().join("dangling")).unwrap();
    let all = take(dir.path());
    assert_eq!(all.len(), 3);
    let target = outside.path().as_os_str().as_bytes().to_vec();
    assert_eq!(find(&all, "out").entry.kind, EntryKind::Symlink(target));
    let target = b"../../no//such/./".to_vec();
    assert_eq!(
        find(&all, "dangling").entry.kind,
        EntryKind::Symlink(target)
    );
}

#[test]
fn folder_itself_may_be_named_by_a_symlink() {
    let dir = folder();
    fs::create_dir(dir.path().join("d")).unwrap();
    write(&dir, "d/f", b"1");
    symlink("d", dir.path().join("l")).unwrap();
    assert_eq!(take(&dir.path().join("l")).len(), 2);
    let error = Folder::open(dir.path().join("d/f"), ROOT).unwrap_err();
    assert!(error.to_string().contains("d/f"), "{error}");
}

#[test]
fn fifos_sockets_and_devices_are_taken_and_never_opened() {
    let dir = folder();
    let mode = Mode::from_raw_mode(0o600);
    let make = |name, kind, device| mknodat(CWD, dir.path().join(name), kind, mode, device);
    make("fifo", FileType::Fifo, 0).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    let device = rustix::fs::makedev(0xabc, 0xd_ef01);
    let devices = make("char", FileType::CharacterDevice, device)
        .and_then(|()| make("block", FileType::BlockDevice, device));
    let all = take(dir.path());
    drop(socket);
    assert_eq!(find(&all, "fifo").entry.kind, EntryKind::Fifo);
    assert_eq!(find(&all, "socket").entry.kind, EntryKind::Socket);
    if let Err(errno) = devices {
        return skip(&format!("no device nodes can be made: {errno}"));
    }
    let device = Device {
        major: 0xabc,
        minor: 0xd_ef01,
    };
    let kind = |name| find(&all, name).entry.kind.clone();
    assert_eq!(kind("char"), EntryKind::CharDevice(device));
    assert_eq!(kind("block"), EntryKind::BlockDevice(device));
}

#[test]
fn excluded_names_are_not_examined_and_links_are_taken_elsewhere() {
    let dir = folder();
    fs::create_dir_all(dir.path().join("cache/deep")).unwrap();
    write(&dir, "cache/deep/x", b"");
    write(&dir, "gone.o", b"");
    let path = write(&dir, "a.o", b"content");
    fs::hard_link(&path, dir.path().join("b")).unwrap();
    let exclude = Exclude::new(["/cache", "*.o"]);
    let mut source = Folder::open(dir.path(), ROOT)
        .unwrap()
        .with_exclude(exclude);
    source.next_entry().unwrap();
    fs::remove_file(dir.path().join("gone.o")).unwrap();
    let entry = source.next_entry().unwrap().unwrap();
    assert_eq!(entry.path, b"b");
    assert_eq!(entry.kind, EntryKind::File { size: 7 });
    assert_eq!(source.next_entry().unwrap(), None);
    assert_eq!(source.excluded(), 3);
}

#[test]
fn holes_are_kept_and_contents_whole() {
    let dir = folder();
    let path = dir.path().join("sparse");
    let file = fs::File::create(&path).unwrap();
    let data: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8 + 1).collect();
    file.write_all_at(&data, 1 << 20).unwrap();
    file.set_len(8 << 20).unwrap();
    file.sync_all().unwrap();
    fs::File::create(dir.path().join("hole"))
        .unwrap()
        .set_len(5 << 30)
        .unwrap();
    let mut source = Folder::open(dir.path(), ROOT).unwrap();
    source.next_entry().unwrap();
    source.next_entry().unwrap();
    let hole = source.next_run().unwrap();
    assert_eq!(hole, Some(BodyRun::Hole(5 << 30)));
    assert_eq!(source.next_run().unwrap(), None);
    drop(source);

    fs::remove_file(dir.path().join("hole")).unwrap();
    let all = take(dir.path());
    let taken = find(&all, "sparse");
    assert_eq!(taken.data.len(), 8 << 20);
    assert_eq!(&taken.data[1 << 20..][..data.len()], data);
    assert_eq!(taken.runs[0], (false, 1 << 20));
    assert_eq!(taken.runs.len(), 3, "{:?}", taken.runs);
}

#[test]
fn extended_attributes_are_read_of_every_kind() {
    let dir = folder();
    let path = write(&dir, "f", b"1");
    symlink("f", dir.path().join("s")).unwrap();
    let value = vec![0u8; 3000];
    let set =
        |name: &str, value: &[u8]| rustix::fs::setxattr(&path, name, value, XattrFlags::empty());
    if let Err(errno) = set("user.large", &value) {
        return skip(&format!("no user attributes: {errno}"));
    }
    set("user.empty", b"").unwrap();
    let acl = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\x37\0\0\0\
        \x04\0\x04\0\xff\xff\xff\xff\x10\0\x04\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";
    let with_acl = set("system.posix_acl_access", acl).is_ok();
    let link = dir.path().join("s");
    let on_link = rustix::fs::lsetxattr(&link, "trusted.t", b"\0\xff", XattrFlags::empty());
    let all = take(dir.path());
    let xattrs = &find(&all, "f").entry.meta.xattrs;
    let get = |name: &str| xattrs.get(name.as_bytes()).map(|value| &**value);
    assert_eq!(get("user.large"), Some(&value[..]));
    assert_eq!(get("user.empty"), Some(&b""[..]));
    if with_acl {
        assert_eq!(get("system.posix_acl_access"), Some(&acl[..]));
    }
    if let Err(errno) = on_link {
        return skip(&format!("no trusted attributes: {errno}"));
    }
    let xattrs = &find(&all, "s").entry.meta.xattrs;
    assert_eq!(xattrs.len(), 1);
    assert_eq!(&*xattrs[&b"trusted.t"[..]], b"\0\xff");
    let by_path = attributes::of_name(
        rustix::fs::CWD,
        b"not-used",
        link.as_os_str().as_bytes(),
        &mut Vec::new(),
    );
    assert_eq!(by_path.as_ref(), Ok(xattrs), "as without /proc");
}

#[test]
fn inode_flags_are_those_with_a_name() {
    let dir = folder();
    let path = write(&dir, "f", b"1");
    let file = fs::File::open(&path).unwrap();
    let Ok(before) = rustix::fs::ioctl_getflags(&file) else {
        return skip("no inode flags");
    };
    if let Err(errno) = rustix::fs::ioctl_setflags(&file, before | rustix::fs::IFlags::NODUMP) {
        return skip(&format!("no inode flags can be set: {errno}"));
    }
    let all = take(dir.path());
    let flags = find(&all, "f").entry.meta.flags;
    assert_eq!(flags, InodeFlags(InodeFlags::NODUMP));
}

#[test]
fn file_that_changes_while_read_is_an_error_naming_it() {
    let dir = folder();
    let path = write(&dir, "changing", &[7; 3 << 20]);
    let changes: [fn(&Path); 3] = [
        |path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(9).unwrap();
        },
        |path| fs::write(path, vec![7; 4 << 20]).unwrap(),
        |path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        },
    ];
    for change in changes {
        let mut source = Folder::open(dir.path(), ROOT).unwrap();
        source.next_entry().unwrap();
        source.next_entry().unwrap();
        source.next_run().unwrap();
        change(&path);
        let error = loop {
            match source.next_run() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the change went unseen"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("changing changed while"), "{error}");
        write(&dir, "changing", &[7; 3 << 20]);
    }
}

#[test]
fn entry_that_cannot_be_read_is_an_error_naming_it() {
    let dir = folder();
    let path = write(&dir, "gone", b"");
    let mut source = Folder::open(dir.path(), ROOT).unwrap();
    source.next_entry().unwrap();
    fs::remove_file(path).unwrap();
    let error = source.next_entry().unwrap_err().to_string();
    assert!(error.starts_with("cannot examine /"), "{error}");
    assert!(error.ends_with("/gone"), "{error}");
}

#[test]
fn unreadable_file_is_an_error_for_an_ordinary_user() {
    if rustix::process::geteuid().is_root() {
        return eprintln!("skipped: root can read everything");
    }
    let dir = folder();
    let path = write(&dir, "private", b"");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
    let error = take_with(dir.path(), ROOT).unwrap_err().to_string();
    assert!(error.ends_with("/private"), "{error}");
}

/// Makes folders inside each other, deeper than a path can name.
fn deep(dir: &TempDir, levels: usize) -> Vec<u8> {
    let name = "a-name-of-thirty-bytes-or-more";
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut fd = rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap();
    let mut path = Vec::new();
    for _ in 0..levels {
        mkdirat(&fd, name, Mode::from_raw_mode(0o755)).unwrap();
        fd = openat(&fd, name, flags, Mode::empty()).unwrap();
        mkdirat(&fd, "z", Mode::from_raw_mode(0o755)).unwrap();
        path.extend_from_slice(name.as_bytes());
        path.push(b'/');
    }
    path.pop();
    path
}

#[test]
fn deep_folders_take_64_open_files_and_no_path() {
    let dir = folder();
    let deepest = deep(&dir, 200);
    assert!(deepest.len() > 6000);
    let mut source = Folder::open(dir.path(), ROOT).unwrap();
    let (mut seen, mut open, mut count) = (false, 0, 0);
    while let Some(entry) = source.next_entry().unwrap() {
        seen |= entry.path == deepest;
        open = open.max(source.levels.open());
        count += 1;
    }
    assert!(seen);
    assert_eq!(count, 401);
    assert_eq!(open, 64);
}

#[test]
fn folder_that_is_moved_away_meanwhile_is_an_error() {
    let (dir, other) = (folder(), folder());
    deep(&dir, 100);
    let mut source = Folder::open(dir.path(), ROOT).unwrap();
    for _ in 0..=100 {
        source.next_entry().unwrap();
    }
    let mut inner = dir.path().to_owned();
    for _ in 0..20 {
        inner.push("a-name-of-thirty-bytes-or-more");
    }
    fs::rename(inner, other.path().join("moved")).unwrap();
    let error = loop {
        match source.next_entry() {
            Ok(entry) => assert!(entry.is_some(), "the move went unseen"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("was moved"), "{error}");
}

/// Dumps a tree without what GNU tar does not restore or a folder does not tell.
///
/// GNU tar sets a folder's mtime when it leaves it, and changes it when it comes back.
fn comparable(mut tree: Tree<Content>) -> Vec<String> {
    let ids: Vec<_> = tree.ids().collect();
    for id in ids {
        let is_folder = tree.node(id).kind.is_directory();
        let meta = tree.meta_mut(id);
        if is_folder {
            meta.mtime = None;
        }
        meta.atime = None;
        meta.ctime = None;
        meta.crtime = None;
        meta.flags = InodeFlags::default();
    }
    let dump = tree.dump(Holes::AsZeros).unwrap();
    let lines = dump.lines().map(|line| line.replace(" implied", ""));
    lines.collect()
}

#[test]
fn extracted_sample_equals_its_archive() {
    use std::process::Command;
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can extract devices and owners");
    }
    let version = Command::new("tar").arg("--version").output();
    if !version.is_ok_and(|out| out.stdout.starts_with(b"tar (GNU tar)")) {
        return skip("no GNU tar");
    }
    let dir = folder();
    let probe = rustix::fs::setxattr(dir.path(), "trusted.t", b"", XattrFlags::empty());
    if let Err(errno) = probe {
        return skip(&format!("no trusted attributes: {errno}"));
    }
    rustix::fs::removexattr(dir.path(), "trusted.t").unwrap();
    let packed = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../testdata/sample-rootfs.tar.zst"
    );
    let archive = zstd::decode_all(fs::File::open(packed).unwrap()).unwrap();
    let plain = tempfile::NamedTempFile::new().unwrap();
    fs::write(plain.path(), &archive).unwrap();
    let status = Command::new("tar")
        .args([
            "--xattrs",
            "--xattrs-include=*",
            "--acls",
            "--numeric-owner",
        ])
        .args(["-xpf".as_ref(), plain.path(), "-C".as_ref(), dir.path()])
        .status();
    assert!(status.unwrap().success());

    let mut reader = crate::tar::Reader::new(&archive[..]);
    let from_tar = Tree::collect(&mut reader, Policy::default()).unwrap();
    let options = Options {
        owners: Owners::Keep,
        ..ROOT
    };
    let mut source = Folder::open(dir.path(), options).unwrap();
    let from_folder = Tree::collect(&mut source, Policy::default()).unwrap();
    assert!(from_tar.len() > 600);
    let [from_tar, from_folder] = [from_tar, from_folder].map(comparable);
    for (expected, line) in from_tar.iter().zip(&from_folder) {
        assert_eq!(line, expected);
    }
    assert_eq!(from_folder.len(), from_tar.len());
}

#[test]
fn contents_are_read_where_they_stand_unless_they_changed() {
    let dir = folder();
    fs::create_dir(dir.path().join("sub")).unwrap();
    let data: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let path = write(&dir, "sub/file", &data);
    let sparse = fs::File::create(dir.path().join("sparse")).unwrap();
    sparse.set_len(4 << 20).unwrap();
    sparse.write_all_at(b"end", (4 << 20) - 3).unwrap();
    for looked_at in [true, false] {
        let open = Folder::open(dir.path(), ROOT).unwrap();
        let mut source = open.in_place().unwrap();
        let mut files = BTreeMap::new();
        while let Some(entry) = source.next_entry().unwrap() {
            let EntryKind::File { size } = entry.kind else {
                assert!(source.origin().is_none());
                continue;
            };
            let (origin, mut len) = (source.origin().unwrap(), 0);
            assert_eq!(origin.len(), size);
            while !looked_at && let Some(place) = source.next_place().unwrap() {
                assert!(!matches!(place, BodyPlace::Data { at, .. } if at != len));
                len += place.len();
            }
            while let Some(run) = source.next_run().unwrap() {
                assert!(!matches!(run, BodyRun::Data { at, .. } if at != Some(len)));
                len += run.len();
            }
            assert_eq!(len, size);
            files.insert(entry.path, origin);
        }
        let file = &files[&b"sub/file"[..]];
        let mut part = [0; 100];
        file.read_at(299_900, &mut part).unwrap();
        assert_eq!(part, data[299_900..]);
        // The same bytes, and yet another file; then one that is longer.
        fs::rename(&path, dir.path().join("sub/other")).unwrap();
        fs::write(&path, &data).unwrap();
        let error = file.read_at(0, &mut part).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "another file took its name");
        fs::rename(dir.path().join("sub/other"), &path).unwrap();
        file.read_at(0, &mut part).unwrap();
        let longer = fs::File::options().write(true).open(&path).unwrap();
        longer.set_len(300_001).unwrap();
        assert!(file.read_at(0, &mut part).is_err());
        longer.set_len(300_000).unwrap();
    }
}
