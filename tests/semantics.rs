//! What entries do to each other, where GNU tar can tell and where it cannot.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use forger_tests::archive::{Archive, Member};
use forger_tests::gnutar::Extracted;
use forger_tests::judge::assert_clean;
use forger_tests::mount::Mount;
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::walk::Listing;

/// Makes an image of `members`; it must be clean.
fn image(scratch: &Scratch, members: &[Member]) -> PathBuf {
    let mut archive = Archive::new();
    archive.extend(members);
    let tar = scratch.file("in.tar", archive.finish());
    let image = scratch.mkfs(&tar, "out.ext4", &["--force"]);
    assert_clean(&image);
    image
}

/// The seven kinds an entry can be, each under `name`; what a link needs is made beforehand.
fn kinds(name: &str) -> Vec<(&'static str, Member)> {
    vec![
        ("file", Member::file(name, format!("content of {name}"))),
        ("hard link", Member::hardlink(name, "target")),
        ("symlink", Member::symlink(name, "target")),
        ("folder", Member::dir(name).mode(0o711)),
        ("char", Member::chardev(name, 1, 3)),
        ("block", Member::blockdev(name, 7, 1)),
        ("fifo", Member::fifo(name)),
    ]
}

#[test]
fn last_entry_wins_for_every_pair_of_kinds_as_in_gnu_tar() {
    need!("loop", "e2fsck", "mkfs.ext4", "tar");
    let mut archive = Archive::new();
    archive.push(&Member::file("target", "a file that links point to"));
    let mut pairs = 0;
    for (first, _) in kinds("") {
        for (second, _) in kinds("") {
            // Told to remove folders for files, GNU tar empties them for folders as well.
            if (first, second) == ("folder", "folder") {
                continue;
            }
            let name = format!("{first}-then-{second}").replace(' ', "-");
            let find = |kind: &str| {
                kinds(&name)
                    .into_iter()
                    .find(|(other, _)| *other == kind)
                    .unwrap()
                    .1
            };
            archive.push(&find(first));
            if first == "folder" {
                archive.push(&Member::file(format!("{name}/below"), "goes or stays"));
            }
            archive.push(&find(second));
            pairs += 1;
        }
    }
    let scratch = Scratch::new();
    let tar = scratch.file("pairs.tar", archive.finish());
    let image = scratch.mkfs(&tar, "pairs.ext4", &[]);
    assert_clean(&image);
    // Nobody says what the root is.
    let wanted = Extracted::replacing(&tar, 1 << 20, 1000).listing(&[""]);
    let is = Mount::read_only(&image);
    assert!(wanted.len() > pairs);
    Listing::of(is.path(), &[""]).assert_same(&wanted);
}

#[test]
fn folder_over_a_folder_changes_its_metadata_and_keeps_what_is_in_it() {
    need!("loop", "e2fsck");
    let scratch = Scratch::new();
    let image = image(
        &scratch,
        &[
            Member::dir("folder")
                .mode(0o700)
                .owner(1, 1)
                .mtime(1, 0)
                .xattr("user.old", "1"),
            Member::file("folder/file", "stays"),
            Member::dir("folder")
                .mode(0o2755)
                .owner(2, 3)
                .mtime(4, 5)
                .xattr("user.new", "2"),
        ],
    );
    let mount = Mount::read_only(&image);
    let listing = Listing::of(mount.path(), &[]);
    let line = listing.line("folder").unwrap();
    assert_eq!(line, "folder 2755 2:3 4.000000005 names=2 user.new=2");
    assert!(listing.line("folder/file").is_some());
}

#[test]
fn names_pass_through_symlinks_as_in_a_chroot() {
    need!("loop", "e2fsck");
    let scratch = Scratch::new();
    let image = image(
        &scratch,
        &[
            Member::dir("usr/lib"),
            Member::symlink("lib", "/usr/lib"),
            Member::symlink("up", "../../usr/lib"),
            Member::symlink("usr/lib64", "../lib"),
            Member::file("lib/absolute", ""),
            Member::file("up/outside", ""),
            Member::file("usr/lib64/twice", ""),
            Member::symlink("dangling", "made/on/demand"),
            Member::file("dangling/file", ""),
        ],
    );
    let mount = Mount::read_only(&image);
    let listing = Listing::of(mount.path(), &[]);
    for path in [
        "usr/lib/absolute",
        "usr/lib/outside",
        "usr/lib/twice",
        "made/on/demand/file",
    ] {
        assert!(listing.line(path).is_some(), "{path} is missing");
    }
    for path in ["lib", "up", "usr/lib64", "dangling"] {
        assert!(listing.line(path).unwrap().starts_with("symlink"), "{path}");
    }
}

#[test]
fn hard_link_stays_on_the_old_file_when_its_target_is_replaced() {
    need!("loop", "e2fsck");
    let scratch = Scratch::new();
    let image = image(
        &scratch,
        &[
            Member::file("name", "old"),
            Member::hardlink("link", "name"),
            Member::file("name", "new"),
            Member::hardlink("later", "name"),
        ],
    );
    let mount = Mount::read_only(&image);
    let read = |path: &str| fs::read_to_string(mount.join(path)).unwrap();
    assert_eq!(
        (&read("name")[..], &read("link")[..], &read("later")[..]),
        ("new", "old", "new")
    );
    assert_eq!(fs::metadata(mount.join("link")).unwrap().nlink(), 1);
}

#[test]
fn hard_link_before_its_target_is_bound_at_the_end() {
    need!("loop", "e2fsck");
    let scratch = Scratch::new();
    let image = image(
        &scratch,
        &[
            Member::hardlink("early", "later"),
            Member::hardlink("chain", "early"),
            Member::file("later", "the content").mode(0o640),
        ],
    );
    let mount = Mount::read_only(&image);
    for name in ["early", "chain", "later"] {
        let meta = fs::metadata(mount.join(name)).unwrap();
        assert_eq!((meta.nlink(), meta.mode() & 0o7777), (3, 0o640), "{name}");
        assert_eq!(fs::read(mount.join(name)).unwrap(), b"the content");
    }
}

#[test]
fn hard_link_with_a_body_replaces_the_content_of_all_its_names() {
    need!("loop", "e2fsck");
    let scratch = Scratch::new();
    let link = Member::hardlink("link", "file")
        .record("size", "3")
        .body("new");
    let image = image(&scratch, &[Member::file("file", "old content"), link]);
    let mount = Mount::read_only(&image);
    assert_eq!(fs::read(mount.join("file")).unwrap(), b"new");
    assert_eq!(fs::metadata(mount.join("file")).unwrap().nlink(), 2);
}

#[test]
fn folder_over_a_symlink_replaces_it_unless_asked_to_keep_it() {
    need!("loop", "e2fsck");
    let scratch = Scratch::new();
    let mut archive = Archive::new();
    archive.extend(&[
        Member::dir("usr/lib"),
        Member::symlink("lib", "usr/lib"),
        Member::dir("lib"),
        Member::file("lib/file", ""),
    ]);
    let tar = scratch.file("in.tar", archive.finish());
    for (name, args, place) in [
        ("replaced.ext4", &[][..], "lib/file"),
        ("kept.ext4", &["--keep-directory-symlink"], "usr/lib/file"),
    ] {
        let image = scratch.mkfs(&tar, name, args);
        assert_clean(&image);
        let mount = Mount::read_only(&image);
        assert!(
            Listing::of(mount.path(), &[]).line(place).is_some(),
            "{place}"
        );
    }
}

#[test]
fn attributes_of_libarchive_and_flags_arrive() {
    need!("loop", "e2fsck", "lsattr");
    let scratch = Scratch::new();
    let image = image(
        &scratch,
        &[
            // "a\0b" in base64, and a name with a percent-encoded letter.
            Member::file("libarchive", "").record("LIBARCHIVE.xattr.user.%61", "YQBi"),
            Member::file("both", "")
                .record("LIBARCHIVE.xattr.user.x", "eA==")
                .xattr("user.x", "x"),
            Member::file("flags", "").record("SCHILY.fflags", "noatime,nodump,sappnd"),
        ],
    );
    let mount = Mount::read_only(&image);
    let listing = Listing::of(mount.path(), &[]);
    assert!(
        listing
            .line("libarchive")
            .unwrap()
            .ends_with(" user.a=a\\x00b"),
        "{listing:?}"
    );
    assert!(
        listing.line("both").unwrap().ends_with(" user.x=x"),
        "{listing:?}"
    );
    let flags = Run::new("lsattr").arg(mount.join("flags")).ok().text();
    let flags: String = flags
        .split(' ')
        .next()
        .unwrap()
        .chars()
        .filter(|c| *c != '-')
        .collect();
    assert_eq!(flags, "adAe", "append, nodump, noatime, and extents");
}
