//! `forger edit`: images of mke2fs and of forger, judged by e2fsck and debugfs.

use forger_tests::forger::forger;
use forger_tests::judge::{assert_clean, debugfs};
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;

mod copies;
mod puts;
mod refused;
mod secrets;

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

#[test]
fn a_dry_run_says_what_would_be_done() {
    need!("mke2fs");
    let scratch = Scratch::new();
    let image = image(&scratch);
    let run = |args: &[&str]| {
        let run = forger().args(["edit", "--output", "json"]).args(args);
        let out = run.arg(&image).args(["mkdir", "/a"]).ok();
        let facts: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        facts
    };
    let tried = run(&["--dry-run"]);
    assert_eq!(tried["dry_run"], true);
    let done = run(&[]);
    assert_eq!(done["dry_run"], false);
    for fact in ["way", "metadata_blocks", "actions", "path"] {
        assert_eq!(tried[fact], done[fact], "{fact}");
    }
    assert_eq!(done["way"], "journal");
}

/// Times are those that were asked for, so that equal edits give equal bytes.
#[test]
fn equal_edits_of_equal_images_give_equal_bytes() {
    need!("mke2fs");
    let scratch = Scratch::new();
    let first = image(&scratch);
    let second = scratch.copy(&first, "second.ext4");
    let source = scratch.file("source", b"content");
    for (image, epoch) in [(&first, true), (&second, false)] {
        let run = forger().arg("edit");
        let run = if epoch {
            run.env("SOURCE_DATE_EPOCH", "1700000000")
        } else {
            run.args(["--time", "@1700000000"])
        };
        run.arg(image).arg("put").arg(&source).arg("/file").ok();
    }
    assert_eq!(
        std::fs::read(&first).unwrap(),
        std::fs::read(&second).unwrap()
    );
    let stat = debugfs(&first, "stat /file");
    for time in ["ctime", "atime", "mtime", "crtime"] {
        assert!(
            stat.contains(&format!("{time}: 0x6553f100:00000000")),
            "{stat}"
        );
    }
}

/// An editor that waits for standard input has the image locked.
#[test]
fn an_image_is_edited_by_one_at_a_time() {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;
    use std::process::{Command, Stdio};
    need!("mke2fs", "e2fsck");
    let scratch = Scratch::new();
    let image = image(&scratch);
    let mut first = Command::new(forger_tests::forger::binary())
        .arg("edit")
        .arg(&image)
        .args(["put", "-", "/from-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let inode = std::fs::metadata(&image).unwrap().ino();
    let locked = || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let ours = format!(":{inode} ");
        locks
            .lines()
            .any(|line| line.contains("FLOCK") && line.contains(&ours))
    };
    for _ in 0..1000 {
        if locked() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let touch = || {
        let run = forger().arg("edit").arg(&image);
        run.args(["touch", "/lost+found"]).output()
    };
    let second = touch();
    let message = second.errors();
    assert_eq!(second.status.code(), Some(1), "{message}");
    assert!(
        message.contains("is locked by another program"),
        "{message}"
    );
    let mut stdin = first.stdin.take().unwrap();
    stdin.write_all(b"waited for").unwrap();
    drop(stdin);
    assert!(first.wait().unwrap().success());
    touch()
        .status
        .success()
        .then_some(())
        .expect("the lock is gone");
    assert_clean(&image);
    assert_eq!(debugfs(&image, "cat /from-stdin"), "waited for");
}
