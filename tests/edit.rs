//! `forger edit`: images of mke2fs and of forger, judged by e2fsck and debugfs.

use forger_tests::forger::forger;
use forger_tests::judge::{assert_clean, debugfs};
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;

fn image(scratch: &Scratch) -> std::path::PathBuf {
    let path = scratch.path("image.ext4");
    Run::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4"])
        .arg(&path)
        .arg("64M")
        .ok();
    path
}

#[test]
fn a_script_is_done_whole_and_clean() {
    need!("mke2fs", "e2fsck", "debugfs");
    let scratch = Scratch::new();
    let image = image(&scratch);
    let source = scratch.file("a file", b"hello\n");
    let script = format!(
        "# comment\nmkdir -p /etc/deep/er --mode 750\nput '{}' /etc/motd --mode 640 --owner 5:6\n\
         ln -s motd /etc/link   # more\nln /etc/motd /etc/hard\nchmod 600 /etc/hard\nmknod /tty c 4 64\n\
         setxattr /etc/motd user.note 'two words'\nmv /etc/deep /deep\nset-label edited\n",
        source.display()
    );
    let script = scratch.file("script", script.into_bytes());
    forger()
        .args(["edit", "--time", "@1700000000", "--script"])
        .arg(&script)
        .arg(&image)
        .ok();
    assert_clean(&image);
    assert_eq!(debugfs(&image, "cat /etc/hard"), "hello\n");
    let stat = debugfs(&image, "stat /etc/motd");
    for part in [
        "Mode:  0600",
        "User:     5",
        "Group:     6",
        "Links: 2",
        "user.note",
    ] {
        assert!(stat.contains(part), "{part}: {stat}");
    }
    assert!(debugfs(&image, "stat /tty").contains("major/minor number: 04:64"));
    assert!(debugfs(&image, "stat /deep/er").contains("Type: directory"));
}

#[test]
fn one_bad_line_leaves_the_image_as_it_was() {
    need!("mke2fs");
    let scratch = Scratch::new();
    let image = image(&scratch);
    let before = std::fs::read(&image).unwrap();
    let script = scratch.file("script", b"mkdir /a\nrm /none\n");
    let out = forger()
        .args(["edit", "--script"])
        .args([&script, &image])
        .output();
    assert_eq!(out.status.code(), Some(1));
    let message = out.errors();
    assert!(message.contains("line 2 of"), "{message}");
    assert!(message.contains("/none: does not exist"), "{message}");
    forger()
        .args(["edit", "--dry-run"])
        .arg(&image)
        .args(["mkdir", "/a"])
        .ok();
    assert_eq!(std::fs::read(&image).unwrap(), before);
}
