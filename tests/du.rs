//! `forger du` against GNU du on a kernel mount.

use std::collections::BTreeMap;

use forger_tests::forger::forger;
use forger_tests::mount::Mount;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::{need, workspace};

/// Returns path to size; what GNU du calls `./a` is `/a`.
fn sizes(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .map(|line| {
            let (size, path) = line.split_once('\t').unwrap();
            let path = path.strip_prefix('.').unwrap_or(path);
            let path = if path.is_empty() { "/" } else { path };
            (path.to_owned(), size.parse().unwrap())
        })
        .collect()
}

#[test]
fn sizes_are_those_of_du() {
    need!("root", "loop", "du", "find");
    let scratch = Scratch::new();
    let tar = workspace().join("testdata/sample-rootfs.tar.zst");
    let image = scratch.mkfs(&tar, "sample.ext4", &[]);
    let address = |path: &str| format!("{}:{path}", image.display());
    let mount = Mount::read_only(&image);
    let du = |args: &[&str]| {
        let run = Run::new("du").args(args).arg(".").dir(mount.path());
        sizes(&run.ok().text())
    };
    let ours = |path: &str, args: &[&str]| {
        let run = forger().arg("du").args(args).arg(address(path));
        sizes(&run.ok().text())
    };
    assert_eq!(ours("/", &["-b"]), du(&["-B1"]));
    assert_eq!(ours("/", &[]), du(&[]));
    assert_eq!(ours("/", &["-d", "1"]), du(&["-d", "1"]));
    assert_eq!(ours("/", &["-s"]), du(&["-s"]));
    // Names of one file are in one folder each, and count where they come first.
    let all = ours("/srv/links", &["-ab"]);
    assert!(all.contains_key("/srv/links/one"));
    assert!(!all.contains_key("/srv/links/two"));
    assert_eq!(all["/srv/links"], du(&["-B1"])["/srv/links"]);
    // Lengths are those of files and symlinks, once each.
    let run = Run::new("find").args([".", "-type", "f,l", "-printf", "%i %s\\n"]);
    let listed = run.dir(mount.path()).ok().text();
    let lengths: BTreeMap<&str, u64> = listed
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(inode, size)| (inode, size.parse().unwrap()))
        .collect();
    let sum: u64 = lengths.values().sum();
    assert_eq!(ours("/", &["-sb", "--apparent-size"])["/"], sum);
}

#[test]
fn json_has_bytes_and_entries_of_each_folder() {
    let scratch = Scratch::new();
    let tar = workspace().join("testdata/sample-rootfs.tar.zst");
    let image = scratch.mkfs(&tar, "sample.ext4", &[]);
    let run = forger().args(["du", "--output", "json"]);
    let text = run
        .arg(format!("{}:/srv/late", image.display()))
        .ok()
        .text();
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(object["path"], "/srv/late");
    assert_eq!(
        (&object["bytes"], &object["entries"]),
        (&8192.into(), &2.into())
    );
    let human = forger()
        .args(["du", "-s", "--human"])
        .arg(&image)
        .ok()
        .text();
    assert!(human.ends_with("iB\t/\n"), "{human}");
}
