//! `forger diff`: what is different between images, archives and folders, and nothing else.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use forger_tests::archive::{Archive, Member};
use forger_tests::forger::forger;
use forger_tests::mount::Mount;
use forger_tests::process::{Output, Run};
use forger_tests::scratch::Scratch;
use forger_tests::{need, sample, workspace};

fn diff(first: impl AsRef<Path>, second: impl AsRef<Path>, args: &[&str]) -> Output {
    let run = forger().arg("diff").args(args);
    run.arg(first.as_ref()).arg(second.as_ref()).output()
}

fn assert_equal(first: impl AsRef<Path>, second: impl AsRef<Path>) {
    let output = diff(first, second, &[]);
    assert_eq!(output.text(), "", "{output}");
    assert_eq!(output.status.code(), Some(0), "{output}");
}

/// Asserts that exactly these lines are printed.
fn assert_lines(output: &Output, lines: &[&str]) {
    assert_eq!(output.text().lines().collect::<Vec<_>>(), lines, "{output}");
    assert_eq!(output.status.code(), Some(1), "{output}");
}

#[test]
fn all_forms_of_the_same_tree_are_equal() {
    need!("root", "loop", "gzip");
    let scratch = Scratch::new();
    let zstd = workspace().join("testdata/sample-rootfs.tar.zst");
    let tar = scratch.file("sample.tar", sample::rootfs());
    Run::new("gzip").arg("-k").arg(&tar).ok();
    let image = scratch.mkfs(&zstd, "sample.ext4", &[]);
    assert_equal(&zstd, &tar);
    assert_equal(&tar, &zstd);
    assert_equal(scratch.path("sample.tar.gz"), &zstd);
    assert_equal(&zstd, &image);
    assert_equal(&image, &tar);
    assert_equal(
        &image,
        scratch.mkfs(&tar, "large.ext4", &["--size", "200M"]),
    );
    let mount = Mount::read_only(&image);
    assert_equal(&image, mount.path());
    assert_equal(mount.path(), &tar);
    // A part of each.
    let inside = |path: &str| format!("{}:{path}", image.display());
    assert_equal(inside("/srv"), mount.join("srv"));
    assert_equal(inside("/etc/hostname"), inside("/etc/hostname"));
    // One through a pipe.
    let run = forger().args(["diff", "-"]).arg(&image).stdin_piped(&tar);
    assert_eq!(run.ok().text(), "");
}

/// An archive of what changes, before and after.
fn two(scratch: &Scratch) -> [std::path::PathBuf; 2] {
    let body = |at: usize| {
        let mut body = vec![b'x'; 200_000];
        body[at] = b'y';
        body
    };
    let mut first = Archive::new();
    let mut second = Archive::new();
    let both = |first: &mut Archive, second: &mut Archive, a: Member, b: Member| {
        first.push(&a.mtime(1000, 0));
        second.push(&b.mtime(1000, 0));
    };
    let file = |name: &str| Member::file(name, "same\n");
    let pairs = [
        (Member::dir("./"), Member::dir("./")),
        (file("bits"), file("bits").mode(0o4755)),
        (
            Member::file("content", body(70_000)),
            Member::file("content", body(3)),
        ),
        (
            Member::chardev("device", 1, 3),
            Member::chardev("device", 1, 5),
        ),
        (file("longer"), Member::file("longer", "same\nmore")),
        (file("owner"), file("owner").owner(7, 8)),
        (file("same"), file("same")),
        (
            Member::symlink("target", "a"),
            Member::symlink("target", "b"),
        ),
        (file("type"), Member::dir("type")),
        (
            file("xattr").xattr("user.a", "1"),
            file("xattr").xattr("user.b", "2"),
        ),
        (Member::hardlink("z", "same"), file("z")),
    ];
    for (a, b) in pairs {
        both(&mut first, &mut second, a, b);
    }
    first.push(&Member::dir("gone").mtime(1000, 0));
    first.push(&file("gone/file").mtime(1000, 0));
    second.push(&file("new").mtime(1000, 0));
    second.push(&file("time").mtime(1000, 5));
    first.push(&file("time").mtime(1000, 0));
    [
        scratch.file("first.tar", first.finish()),
        scratch.file("second.tar", second.finish()),
    ]
}

const LINES: [&str; 13] = [
    "~ /bits: mode 0644 -> 4755",
    "~ /content: content from byte 3 on",
    "~ /device: device 1:3 -> 1:5",
    "- /gone (directory)",
    "- /gone/file (file)",
    "~ /longer: size 5 -> 9, content from byte 5 on",
    "+ /new (file)",
    "~ /owner: owner 0:0 -> 7:8",
    "~ /target: target a -> b",
    "~ /time: mtime 1970-01-01T00:16:40Z -> 1970-01-01T00:16:40.000000005Z",
    "~ /type: type file -> directory",
    "~ /xattr: user.a \"1\" -> none, user.b none -> \"2\"",
    "~ /z: link /same -> none",
];

#[test]
fn every_kind_of_difference_is_one_line_of_its_name() {
    need!("gzip");
    let scratch = Scratch::new();
    let [first, second] = two(&scratch);
    let lines = &LINES;
    assert_lines(&diff(&first, &second, &[]), lines);
    let image = scratch.mkfs(&first, "first.ext4", &[]);
    assert_lines(&diff(&image, &second, &[]), lines);
    let other = scratch.mkfs(&second, "second.ext4", &[]);
    assert_lines(&diff(&image, &other, &[]), lines);
    // A compressed archive is known by digests.
    Run::new("gzip").arg("-k").arg(&second).ok();
    let output = diff(&image, scratch.path("second.tar.gz"), &[]);
    let piece = "~ /content: content in the 64 KiB from byte 0 on";
    let mut lines = lines.to_vec();
    lines[1] = piece;
    lines[5] = "~ /longer: size 5 -> 9, content in the 64 KiB from byte 0 on";
    assert_lines(&output, &lines);
    let kinds = "times,owner,mode,xattrs,flags,links,content";
    let output = diff(&first, &second, &["--ignore", kinds]);
    let left = [
        "~ /device: device 1:3 -> 1:5",
        "- /gone (directory)",
        "- /gone/file (file)",
        "~ /longer: size 5 -> 9",
        "+ /new (file)",
        "~ /target: target a -> b",
        "~ /type: type file -> directory",
    ];
    assert_lines(&output, &left);
}

#[test]
fn json_has_an_object_for_each_name() {
    let scratch = Scratch::new();
    let [first, second] = two(&scratch);
    let output = diff(&first, &second, &["--output", "json"]);
    let objects: Vec<serde_json::Value> = output
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), 13);
    let find = |path: &str| {
        objects
            .iter()
            .find(|object| object["path"] == path)
            .unwrap()
    };
    assert_eq!(
        find("/gone/file").to_string(),
        r#"{"change":"removed","path":"/gone/file","type":"file"}"#
    );
    assert_eq!(
        find("/content").to_string(),
        r#"{"change":"changed","differences":[{"exact":true,"offset":3,"what":"content"}],"path":"/content"}"#
    );
    assert_eq!(
        find("/bits")["differences"].to_string(),
        r#"[{"from":"0644","to":"4755","what":"mode"}]"#
    );
    assert_eq!(
        find("/owner")["differences"][0]["to"].to_string(),
        r#"{"gid":8,"uid":7}"#
    );
}

#[test]
fn folders_are_compared_without_following_links_out_of_them() {
    let scratch = Scratch::new();
    for name in ["a", "b"] {
        fs::create_dir(scratch.path(name)).unwrap();
        fs::write(scratch.path(&format!("{name}/file")), "x").unwrap();
        symlink("/", scratch.path(&format!("{name}/root"))).unwrap();
    }
    fs::write(scratch.path("b/file"), "y").unwrap();
    let open = fs::Permissions::from_mode(0o600);
    fs::set_permissions(scratch.path("b/file"), open).unwrap();
    let output = diff(scratch.path("a"), scratch.path("b"), &["--ignore", "times"]);
    assert_lines(
        &output,
        &["~ /file: mode 0644 -> 0600, content from byte 0 on"],
    );
}

#[test]
fn what_cannot_be_read_is_trouble() {
    let scratch = Scratch::new();
    let tar = workspace().join("testdata/sample-rootfs.tar.zst");
    let image = scratch.mkfs(&tar, "sample.ext4", &[]);
    let inside = format!("{}:/absent", image.display());
    for (first, second) in [
        ("absent", image.to_str().unwrap()),
        (image.to_str().unwrap(), "absent"),
        (&inside, image.to_str().unwrap()),
        ("-", "-"),
    ] {
        let output = diff(first, second, &[]);
        assert_eq!(output.status.code(), Some(2), "{output}");
        assert_eq!(output.text(), "", "{output}");
        assert!(output.errors().contains("error"), "{output}");
    }
    // Damaged on the way.
    let bytes = fs::read(&tar).unwrap();
    let cut = scratch.file("cut.tar.zst", &bytes[..bytes.len() / 2]);
    assert_eq!(diff(&cut, &image, &[]).status.code(), Some(2));
}
