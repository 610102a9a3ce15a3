//! `forger extract IMAGE DEST`: what the kernel shows of a mount, and never anything outside DEST.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use forger_tests::archive::{Archive, Member};
use forger_tests::forger::{binary, forger};
use forger_tests::mount::Mount;
use forger_tests::process::{Output, Run};
use forger_tests::scratch::Scratch;
use forger_tests::walk::Listing;
use forger_tests::{need, workspace};
use rustix::process::Signal;

fn sample(scratch: &Scratch) -> PathBuf {
    let tar = workspace().join("testdata/sample-rootfs.tar.zst");
    scratch.mkfs(&tar, "sample.ext4", &[])
}

fn image_of(scratch: &Scratch, members: &[Member]) -> PathBuf {
    let mut archive = Archive::new();
    archive.extend(members);
    let tar = scratch.file("in.tar", archive.finish());
    scratch.mkfs(&tar, "image.ext4", &[])
}

fn extract(from: impl AsRef<std::ffi::OsStr>, dest: &Path, args: &[&str]) -> Output {
    let run = forger().arg("extract").arg(from);
    run.arg(dest).args(args).output()
}

fn inside(image: &Path, path: &str) -> String {
    format!("{}:{path}", image.display())
}

fn ok(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{output}");
}

/// Asserts a failure that says something.
fn fails(output: &Output, says: &str) {
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(output.errors().contains(says), "{output}");
    assert!(!output.errors().contains("panicked"), "{output}");
}

#[test]
fn root_gets_all_that_a_mount_shows() {
    need!("root", "loop");
    let scratch = Scratch::new();
    let image = sample(&scratch);
    let out = scratch.path("out");
    ok(&extract(&image, &out, &[]));
    assert!(!out.join("lost+found").exists());
    let mount = Mount::read_only(&image);
    // The root of the mount has one folder more, its lost+found.
    Listing::of(&out, &[""]).assert_same(&Listing::of(mount.path(), &[""]));
    for name in ["srv/contents/sparse-gnu", "srv/contents/sparse-pax"] {
        let blocks = |root: &Path| root.join(name).metadata().unwrap().blocks();
        assert_eq!(blocks(&out), blocks(mount.path()), "{name}");
    }
    // A part, into a folder that is there.
    let part = scratch.path("part");
    fs::create_dir(&part).unwrap();
    ok(&extract(
        inside(&image, "/srv/attributes"),
        &part,
        &["--no-sync"],
    ));
    Listing::of(&part, &[]).assert_same(&Listing::of(&mount.join("srv/attributes"), &[]));
    // Files: under a new name, and in a folder.
    let ping = scratch.path("other-ping");
    ok(&extract(inside(&image, "/usr/bin/ping"), &ping, &[]));
    ok(&extract(inside(&image, "/bin/ping"), &part, &[]));
    for file in [ping, part.join("ping")] {
        assert_eq!(fs::read(&file).unwrap(), b"#!/bin/sh\n");
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o755);
    }
    let names = ["in.tar", "other-ping", "out", "part", "sample.ext4"];
    assert_eq!(scratch.names("."), names[1..]);
}

#[test]
fn ordinary_user_gets_what_he_may_have_and_is_told_of_the_rest() {
    need!("root", "setpriv");
    let scratch = Scratch::new();
    let image = sample(&scratch);
    let home = scratch.path("home");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(65_534), Some(65_534)).unwrap();
    let user = |dest: &str, args: &[&str]| {
        let run = Run::new(binary()).arg("extract").arg(&image);
        let run = run.arg(home.join(dest)).args(args);
        let ids = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        run.under("setpriv", &[&ids[..], &["--bounding-set=-all"]].concat())
            .output()
    };
    let output = user("out", &[]);
    ok(&output);
    for said in [
        "the owner of",
        "the device dev/console and 6 more",
        "setuid",
    ] {
        let lines = output.errors();
        let count = lines.lines().filter(|line| line.contains(said)).count();
        assert_eq!(count, 1, "{said}: {output}");
    }
    let out = home.join("out");
    let mode = |name: &str| out.join(name).symlink_metadata().unwrap().mode() & 0o7777;
    assert_eq!(mode("usr/bin/setuid"), 0o755);
    assert_eq!(mode("srv/closed"), 0);
    assert_eq!(mode("srv/sticky-setgid"), 0o3777);
    let one = out.join("srv/links/one").metadata().unwrap();
    assert_eq!(one.nlink(), 3);
    let times = out.join("srv/times/nanoseconds").metadata().unwrap();
    assert_eq!(
        (times.mtime(), times.mtime_nsec()),
        (1_600_000_000, 123_456_789)
    );
    let mut value = [0; 16];
    let name = out.join("srv/attributes/text");
    let len = rustix::fs::getxattr(name, "user.comment", &mut value).unwrap();
    assert_eq!(&value[..len], b"a value");
    assert!(!out.join("dev/null").exists());
    // Everything or nothing.
    fails(&user("strict", &["--strict"]), "the owner cannot be set");
    assert_eq!(scratch.names("home"), ["out"]);
}

#[test]
fn what_is_there_is_kept_unless_force_is_given() {
    let scratch = Scratch::new();
    let members = [
        Member::dir("d"),
        Member::file("d/file", "new"),
        Member::file("swap", "new"),
    ];
    let image = image_of(&scratch, &members);
    let out = scratch.path("out");
    fs::create_dir_all(out.join("d")).unwrap();
    fs::write(out.join("d/file"), "old").unwrap();
    fs::write(out.join("d/other"), "other").unwrap();
    fs::write(scratch.path("outside"), "outside").unwrap();
    symlink("../outside", out.join("swap")).unwrap();
    fails(&extract(&image, &out, &[]), "--force");
    assert_eq!(fs::read(out.join("d/file")).unwrap(), b"old");
    ok(&extract(&image, &out, &["--force"]));
    assert_eq!(fs::read(out.join("d/file")).unwrap(), b"new");
    assert_eq!(fs::read(out.join("d/other")).unwrap(), b"other");
    assert_eq!(fs::read(out.join("swap")).unwrap(), b"new");
    assert_eq!(fs::read(scratch.path("outside")).unwrap(), b"outside");
    // A file under a name that is there.
    let file = scratch.file("file", "old");
    fails(&extract(inside(&image, "/d/file"), &file, &[]), "--force");
    assert_eq!(fs::read(&file).unwrap(), b"old");
    ok(&extract(inside(&image, "/d/file"), &file, &["--force"]));
    assert_eq!(fs::read(&file).unwrap(), b"new");
    fails(&extract(&image, &file, &["--force"]), "no folder");
    fails(&extract(&image, &scratch.path("absent/out"), &[]), "absent");
    fails(
        &extract(inside(&image, "/absent"), &scratch.path("x"), &[]),
        "absent",
    );
    let none = forger().arg("extract").arg(&image).output();
    assert_eq!(none.status.code(), Some(2), "{none}");
}

#[test]
fn folders_of_an_image_take_the_place_of_symlinks_and_are_not_led_away() {
    let scratch = Scratch::new();
    let members = [
        Member::dir("d"),
        Member::file("d/file", "new"),
        Member::dir("e"),
    ];
    let image = image_of(&scratch, &members);
    let out = scratch.path("out");
    let outside = scratch.path("outside");
    fs::create_dir_all(&out).unwrap();
    fs::create_dir_all(&outside).unwrap();
    symlink("../outside", out.join("d")).unwrap();
    symlink(&outside, out.join("e")).unwrap();
    let before = outside.metadata().unwrap();
    ok(&extract(&image, &out, &["--force"]));
    assert!(scratch.names("outside").is_empty());
    let after = outside.metadata().unwrap();
    assert_eq!(
        (before.mode(), before.mtime()),
        (after.mode(), after.mtime())
    );
    assert!(out.join("d").symlink_metadata().unwrap().is_dir());
    assert_eq!(fs::read(out.join("d/file")).unwrap(), b"new");
}

#[test]
fn folders_swapped_for_symlinks_meanwhile_lead_nowhere() {
    let scratch = Scratch::new();
    let mut members = vec![Member::dir("d").mode(0o711)];
    members.extend((0..200).map(|n| Member::file(format!("d/file-{n}"), "x")));
    members.push(Member::dir("d/e").mode(0o711));
    members.extend((0..200).map(|n| Member::hardlink(format!("d/e/link-{n}"), "d/file-0")));
    let image = image_of(&scratch, &members);
    let (out, outside) = (scratch.path("out"), scratch.path("outside"));
    fs::create_dir(&out).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o700)).unwrap();
    let (aside, done) = (
        scratch.path("aside"),
        std::sync::atomic::AtomicBool::new(false),
    );
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0_u64;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = fs::rename(out.join("d"), &aside);
                swaps += u64::from(symlink(&outside, out.join("d")).is_ok());
                let _ = fs::remove_file(out.join("d"));
                let _ = fs::rename(&aside, out.join("d"));
                let _ = fs::remove_dir_all(&aside);
            }
            swaps
        });
        for _ in 0..10 {
            // It may fail, or not; it may not be led away.
            let output = extract(&image, &out, &["--force", "--no-sync"]);
            assert!(matches!(output.status.code(), Some(0 | 1)), "{output}");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(swapper.join().unwrap() > 0);
    });
    assert!(scratch.names("outside").is_empty());
    assert_eq!(outside.metadata().unwrap().mode() & 0o7777, 0o700);
}

/// Makes an image of a folder without checksums, and replaces names in its directories.
fn patched(scratch: &Scratch, fill: impl Fn(&Path), names: &[(&str, &str)]) -> PathBuf {
    let folder = scratch.path("folder");
    fs::create_dir(&folder).unwrap();
    fill(&folder);
    let image = scratch.path("patched.ext4");
    File::create(&image).unwrap().set_len(4 << 20).unwrap();
    Run::new("mkfs.ext4")
        .args(["-q", "-F", "-O", "^metadata_csum,^dir_index", "-d"])
        .arg(&folder)
        .arg(&image)
        .ok();
    fs::remove_dir_all(&folder).unwrap();
    let bytes = fs::read(&image).unwrap();
    let file = File::options().write(true).open(&image).unwrap();
    for (old, new) in names {
        assert_eq!(old.len(), new.len());
        let places = bytes.windows(old.len()).enumerate();
        let mut count = 0;
        for (at, _) in places.filter(|(_, window)| *window == old.as_bytes()) {
            file.write_all_at(new.as_bytes(), at as u64).unwrap();
            count += 1;
        }
        assert!(count > 0, "{old}");
    }
    image
}

#[test]
fn hostile_names_write_nothing_outside() {
    need!("mkfs.ext4");
    let evil = |folder: &Path| {
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::write(folder.join("sub/NAME-of-16-bytes"), "evil").unwrap();
        symlink("../outside", folder.join("TWIN-a")).unwrap();
        fs::create_dir(folder.join("TWIN-b")).unwrap();
        fs::write(folder.join("TWIN-b/file"), "evil").unwrap();
    };
    let cases = [
        ("NAME-of-16-bytes", "../../../outside"),
        ("NAME-of-16-bytes", "sub/of-16-bytes\0"),
        ("NAME-of-16-bytes", "..\0.............\0"),
        ("TWIN-b", "TWIN-a"),
    ];
    for (old, new) in cases {
        let new = &new[..old.len()];
        let scratch = Scratch::new();
        let outside = scratch.path("outside");
        fs::create_dir(&outside).unwrap();
        let image = patched(&scratch, evil, &[(old, new)]);
        let output = extract(&image, &scratch.path("out"), &[]);
        fails(&output, "");
        assert_eq!(scratch.names("."), ["outside", "patched.ext4"], "{new:?}");
        assert!(scratch.names("outside").is_empty(), "{new:?}");
    }
}

#[test]
fn trees_deeper_than_any_path_or_number_of_open_files_are_extracted() {
    need!("find", "rm");
    let scratch = Scratch::new();
    let depth = 2200;
    let deep = vec!["d"; depth].join("/");
    let members = [
        Member::file(format!("{deep}/file"), "deep"),
        Member::file(format!("{}/file", &deep[..400]), "amid"),
        Member::hardlink("link", format!("{deep}/file")),
        Member::file("z", "last"),
    ];
    let image = image_of(&scratch, &members);
    let out = scratch.path("out");
    let output = extract(&image, &out, &[]);
    let run = Run::new("find")
        .arg(&out)
        .args(["-name", "file", "-printf", "%d %s %n\\n"]);
    let found = run.ok().text();
    let equal = forger().arg("diff").arg(&image).arg(&out).output();
    // What is deeper than std removes.
    Run::new("rm").arg("-rf").arg(&out).ok();
    ok(&output);
    let mut lines: Vec<&str> = found.lines().collect();
    lines.sort_unstable();
    let deepest = format!("{} 4 2", depth + 1);
    assert_eq!(lines, ["201 4 1", deepest.as_str()]);
    assert_eq!(equal.text(), "", "{equal}");
    ok(&equal);
}

#[test]
fn full_disk_leaves_nothing_however_deep() {
    need!("root", "mount");
    let scratch = Scratch::new();
    let deep = vec!["d"; 1500].join("/");
    let closed = format!("closed/{}", vec!["x"; 100].join("/"));
    let members = [
        Member::file(format!("{closed}/file"), "x").mode(0),
        Member::dir("closed").mode(0),
        Member::file(format!("{deep}/file"), vec![1; 100_000]),
        Member::file("z", vec![1; 20 << 20]),
    ];
    let image = image_of(&scratch, &members);
    let disk = Mount::ram(8 << 20);
    fails(&extract(&image, &disk.join("out"), &[]), "space");
    assert_eq!(disk.path().read_dir().unwrap().count(), 0);
    fs::create_dir(disk.join("empty")).unwrap();
    fails(&extract(&image, &disk.join("empty"), &[]), "space");
    assert_eq!(disk.join("empty").read_dir().unwrap().count(), 0);
}

#[test]
fn interrupted_extract_leaves_nothing() {
    let scratch = Scratch::new();
    let members: Vec<Member> = (0..3000)
        .map(|n| Member::file(format!("f{n}"), vec![1; 10_000]))
        .collect();
    let image = image_of(&scratch, &members);
    let home = scratch.path("home");
    fs::create_dir(&home).unwrap();
    let run = forger().arg("extract").arg(&image).arg(home.join("out"));
    let running = run.limit(60).start().unwrap();
    // It has begun when something is there; it may as well be done.
    while home.read_dir().unwrap().next().is_none() {
        std::thread::yield_now();
    }
    running.signal(Signal::INT);
    let output = running.finish().unwrap_or_else(|error| panic!("{error}"));
    match output.status.code() {
        Some(130) => assert!(scratch.names("home").is_empty(), "{output}"),
        _ => {
            ok(&output);
            assert_eq!(scratch.names("home"), ["out"]);
            assert_eq!(scratch.names("home/out").len(), 3000);
        }
    }
}

#[test]
fn modes_of_folders_do_not_stand_in_the_way() {
    let scratch = Scratch::new();
    let members = [
        Member::dir("a").mode(0),
        Member::file("a/file", "x").mode(0),
        Member::dir("a/b").mode(0o555),
        Member::file("a/b/file", "y"),
        Member::hardlink("c", "a/b/file"),
    ];
    let image = image_of(&scratch, &members);
    let out = scratch.path("out");
    ok(&extract(&image, &out, &["--output", "json"]));
    let mode = |name: &str| out.join(name).metadata().unwrap().mode() & 0o7777;
    assert_eq!((mode("a"), mode("c")), (0, 0o644));
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(out.join("a"), open).unwrap();
    assert_eq!((mode("a/b"), mode("a/file")), (0o555, 0));
    assert_eq!(out.join("c").metadata().unwrap().nlink(), 2);
}
