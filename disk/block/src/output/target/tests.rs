use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, Mode, mkfifoat};

use super::*;
use crate::zeros;

const NEW: Publish = Publish {
    force: false,
    sync: true,
};

#[test]
fn each_kind_of_path_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("file"), "").unwrap();
    mkfifoat(CWD, path("fifo"), Mode::from_raw_mode(0o600)).unwrap();
    symlink("file", path("link")).unwrap();
    symlink("nothing", path("dangling")).unwrap();
    let _socket = UnixListener::bind(path("socket")).unwrap();

    for name in ["file", "link", "dangling", "new"] {
        let target = Target::of(path(name)).unwrap();
        assert_eq!(target, Target::Regular(path(name)));
        assert!(!target.is_forward_only());
    }
    for path in [path("fifo"), "/dev/null".into(), "/dev/full".into()] {
        let target = Target::of(&path).unwrap();
        assert_eq!(target, Target::Fifo(path));
        assert!(target.is_forward_only());
    }
    for name in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        assert_eq!(Target::of(name).unwrap(), Target::Stdout);
    }
    for (path, what) in [
        (folder.path().to_owned(), "a directory"),
        (path("socket"), "a socket"),
        ("/dev/urandom".into(), "a character device"),
    ] {
        let error = Target::of(&path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{} is {what}, which cannot be an output", path.display())
        );
    }
    let error = Target::of(path("file").join("below")).unwrap_err();
    assert!(error.to_string().starts_with("cannot inspect "), "{error}");
}

#[test]
fn what_exists_needs_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("file"), "").unwrap();
    symlink("file", path("link")).unwrap();
    symlink("nothing", path("dangling")).unwrap();
    for name in ["file", "link"] {
        let error = check_target(path(name), false).unwrap_err();
        assert!(matches!(error, Error::Exists { .. }));
        check_target(path(name), true).unwrap();
    }
    for name in ["dangling", "new"] {
        check_target(path(name), false).unwrap();
    }
    check_target("/dev/null", false).unwrap();
    check_target("-", false).unwrap();
    let device = Target::BlockDevice("/dev/device".into());
    assert!(matches!(device.check(false), Err(Error::Device { .. })));
    device.check(true).unwrap();
}

#[test]
fn a_fifo_gets_placed_bytes_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
    let target = check_target(&path, false).unwrap();
    let bytes = std::thread::scope(|scope| {
        let reader = scope.spawn(|| fs::read(&path).unwrap());
        let mut sink = target.open_placed(NEW, folder.path()).unwrap();
        sink.write_at(500_000, vec![2; 1000].into()).unwrap();
        sink.write_at(0, vec![1; 1000].into()).unwrap();
        sink.finish(600_000).unwrap();
        reader.join().unwrap()
    });
    assert_eq!(bytes.len(), 600_000);
    assert_eq!(bytes[..1000], [1; 1000]);
    assert!(zeros::is_zero(&bytes[1000..500_000]));
    assert_eq!(bytes[500_000..501_000], [2; 1000]);
    assert!(zeros::is_zero(&bytes[501_000..]));
}

#[test]
fn a_regular_file_is_opened_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("placed");
    let target = check_target(&path, false).unwrap();
    let mut sink = target.open_placed(NEW, folder.path()).unwrap();
    sink.write_at(3, b"def".as_slice().into()).unwrap();
    sink.write_at(0, b"abc".as_slice().into()).unwrap();
    sink.finish(6).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"abcdef");

    let path = folder.path().join("forward");
    let mut sink = Target::of(&path).unwrap().open_forward(NEW).unwrap();
    sink.write(b"abc").unwrap();
    sink.finish().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"abc");
}

#[test]
fn a_full_device_is_an_error_at_the_latest_at_the_end() {
    let target = check_target("/dev/full", false).unwrap();
    let mut sink = target.open_forward(NEW).unwrap();
    sink.write(b"abc").unwrap();
    let error = sink.finish().unwrap_err();
    assert_eq!(error.to_string(), "cannot write /dev/full");
}
