//! Changes that no journal can take are made on a copy, which takes the image's name.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use forger_tests::forger::forger;
use forger_tests::judge::{assert_clean, debugfs};
use forger_tests::mount::Mount;
use forger_tests::need;
use forger_tests::process::{Output, Run};
use forger_tests::scratch::Scratch;

fn make(image: &Path, form: &[&str], size: &str) {
    Run::new("mke2fs")
        .args(["-q", "-F"])
        .args(form)
        .arg(image)
        .arg(size)
        .ok();
}

fn edit(image: &Path, args: &[&str]) -> Output {
    forger().arg("edit").arg(image).args(args).output()
}

#[test]
fn a_copy_takes_the_name_mode_and_holes_of_the_image() {
    need!("mke2fs", "e2fsck");
    let scratch = Scratch::new();
    let image = scratch.path("image");
    make(&image, &["-t", "ext2"], "64M");
    fs::set_permissions(&image, fs::Permissions::from_mode(0o640)).unwrap();
    let link = scratch.path("link");
    symlink("image", &link).unwrap();
    let before = fs::metadata(&image).unwrap();
    let done = edit(&link, &["mkdir", "/a"]);
    assert!(done.status.success(), "{done}");
    assert!(done.text().contains("copy"), "{done}");
    let after = fs::metadata(&image).unwrap();
    assert_eq!(after.mode(), before.mode());
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    assert_ne!(after.ino(), before.ino());
    assert!(after.blocks() < before.blocks() + 1000, "holes stay holes");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(scratch.names("."), ["image", "link"]);
    assert_clean(&image);
    assert!(debugfs(&image, "stat /a").contains("Type: directory"));

    fs::hard_link(&image, scratch.path("other")).unwrap();
    let refused = edit(&image, &["mkdir", "/b"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(refused.errors().contains("2 names"), "{refused}");
}

#[test]
fn a_journal_that_is_too_small_is_larger_meanwhile() {
    need!("mke2fs", "e2fsck");
    let scratch = Scratch::new();
    let image = scratch.path("image");
    make(
        &image,
        &["-t", "ext4", "-b", "1024", "-J", "size=1", "-N", "8000"],
        "64M",
    );
    let mut script = String::new();
    for folder in 0..900 {
        script += &format!("mkdir /folder-{folder}\nmkdir /folder-{folder}/below\n");
    }
    let script = scratch.file("script", script);
    let (journal, inode) = (
        debugfs(&image, "stat <8>"),
        fs::metadata(&image).unwrap().ino(),
    );
    let run = forger().args(["edit", "--script"]);
    let done = run.arg(&script).arg(&image).ok();
    assert!(done.text().contains("way     larger journal"), "{done}");
    assert_clean(&image);
    let blocks = |text: &str| {
        let (_, extents) = text.split_once("EXTENTS:").unwrap();
        extents.to_owned()
    };
    assert_eq!(
        blocks(&debugfs(&image, "stat <8>")),
        blocks(&journal),
        "the journal is as it was"
    );
    assert_eq!(fs::metadata(&image).unwrap().ino(), inode, "in place");
}

#[test]
fn a_copy_for_which_there_is_no_room_is_not_begun() {
    need!("mke2fs", "root");
    let ram = Mount::ram(40 << 20);
    let image = ram.path().join("image");
    make(&image, &["-t", "ext2"], "36M");
    let filler = vec![7; 24 << 20];
    let scratch = Scratch::new();
    let filler = scratch.file("filler", filler);
    let put = ["put", filler.to_str().unwrap(), "/filler"];
    assert!(edit(&image, &put).status.success());
    let before = fs::read(&image).unwrap();
    let refused = edit(&image, &["mkdir", "/a"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    let message = refused.errors();
    assert!(message.contains("a copy of the image needs"), "{message}");
    assert!(message.contains("help: make room"), "{message}");
    assert!(fs::read(&image).unwrap() == before);
    assert_eq!(fs::read_dir(ram.path()).unwrap().count(), 1);
}

#[test]
fn a_device_is_edited_through_its_journal_or_not_at_all() {
    need!("mke2fs", "e2fsck", "losetup", "loop");
    let scratch = Scratch::new();
    let image = scratch.path("image");
    let attached = |form: &[&str], what: &dyn Fn(&Path)| {
        make(&image, form, "32M");
        let device = Run::new("losetup").args(["-f", "--show"]).arg(&image).ok();
        let device = device.text().trim().to_owned();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            what(Path::new(&device));
        }));
        Run::new("losetup").args(["-d", &device]).ok();
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    };
    attached(&["-t", "ext4"], &|device| {
        let done = edit(device, &["mkdir", "/a"]);
        assert!(done.status.success(), "{done}");
        assert_clean(device);
    });
    attached(&["-t", "ext2"], &|device| {
        let refused = edit(device, &["mkdir", "/a"]);
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        let message = refused.errors();
        assert!(message.contains("a copy cannot replace"), "{message}");
        assert!(message.contains("tune2fs -J size="), "{message}");
    });
}
