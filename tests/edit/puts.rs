//! What comes from this machine into an image, and what its facts become.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use forger_tests::forger::forger;
use forger_tests::judge::{assert_clean, debugfs};
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;

#[test]
fn a_folder_is_put_with_all_that_is_in_it() {
    need!("mke2fs", "e2fsck", "debugfs", "mkfifo");
    let scratch = Scratch::new();
    let image = super::image(&scratch);
    let folder = scratch.path("folder");
    fs::create_dir_all(folder.join("deep/er")).unwrap();
    fs::write(folder.join("a"), "first").unwrap();
    fs::set_permissions(folder.join("a"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::hard_link(folder.join("a"), folder.join("deep/same")).unwrap();
    symlink("../a", folder.join("deep/link")).unwrap();
    fs::write(folder.join("deep/er/b"), vec![b'x'; 700_000]).unwrap();
    Run::new("mkfifo").arg(folder.join("pipe")).ok();
    let put = |more: &[&str]| {
        let run = forger().arg("edit").arg(&image).args(["put", "-r"]);
        run.arg(&folder).arg("/opt").args(more).output()
    };
    let refused = forger().arg("edit").arg(&image).arg("put").arg(&folder);
    let refused = refused.arg("/opt").output();
    assert!(refused.errors().contains("put -r"), "{refused}");

    assert!(put(&["--owner", "7:8"]).status.success());
    assert_clean(&image);
    assert_eq!(debugfs(&image, "cat /opt/deep/same"), "first");
    let stat = debugfs(&image, "stat /opt/a");
    for part in ["Mode:  04711", "User:     7", "Group:     8", "Links: 2"] {
        assert!(stat.contains(part), "{part}: {stat}");
    }
    assert!(debugfs(&image, "stat /opt/deep/link").contains("\"../a\""));
    assert!(debugfs(&image, "stat /opt/pipe").contains("Type: FIFO"));
    assert!(debugfs(&image, "stat /opt/deep/er/b").contains("Size: 700000"));

    // Once more over itself: everything is replaced, folders stay.
    fs::write(folder.join("a"), "second").unwrap();
    assert!(put(&[]).status.success());
    assert_clean(&image);
    assert_eq!(debugfs(&image, "cat /opt/deep/same"), "second");
    assert!(debugfs(&image, "stat /opt").contains("User:     7"));

    let wrong = put(&["--mode", "644"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong}");
}

#[test]
fn standard_input_is_put_once() {
    need!("mke2fs", "e2fsck", "debugfs");
    let scratch = Scratch::new();
    let image = super::image(&scratch);
    let run = forger().arg("edit").arg(&image);
    run.args(["put", "-", "/etc-motd", "--owner", "1:2"])
        .stdin("hello\n")
        .ok();
    assert_clean(&image);
    assert_eq!(debugfs(&image, "cat /etc-motd"), "hello\n");
    let stat = debugfs(&image, "stat /etc-motd");
    assert!(stat.contains("Mode:  0644"), "{stat}");
    let twice = forger().args(["edit", "--script", "-"]).arg(&image);
    let twice = twice.stdin("put - /a\n").output();
    assert_eq!(twice.status.code(), Some(2), "{twice}");
    assert!(twice.errors().contains("only once"), "{twice}");
}

/// `setfacl -m u:1000:rwx`, with the mask r-x, on a file of mode 0640.
const ACL: &str = "0x0200000001000600ffffffff02000700e803000004000400ffffffff\
                   10000500ffffffff20000000ffffffff";
/// An ACL of owner rwx, group r-x, others r-x, and nobody else.
const MINIMAL: &str = "0x0200000001000700ffffffff04000500ffffffff20000500ffffffff";

#[test]
fn modes_follow_acls_and_acls_follow_modes() {
    need!("mke2fs", "e2fsck", "debugfs");
    let scratch = Scratch::new();
    let image = super::image(&scratch);
    let source = scratch.file("source", "x");
    let edit = |args: &[&str]| forger().arg("edit").arg(&image).args(args).output();
    let put = ["put", source.to_str().unwrap(), "/file", "--mode", "4640"];
    assert!(edit(&put).status.success());
    let set = |acl| edit(&["setxattr", "/file", "system.posix_acl_access", acl]);
    assert!(set(ACL).status.success());
    let stat = debugfs(&image, "stat /file");
    assert!(stat.contains("Mode:  04650"), "{stat}");
    assert!(edit(&["chmod", "0600", "/file"]).status.success());
    assert_clean(&image);
    // An ACL that says what the mode says is none.
    assert!(debugfs(&image, "ea_list /file").contains("posix_acl_access"));
    assert!(set(MINIMAL).status.success());
    assert!(!debugfs(&image, "ea_list /file").contains("posix_acl_access"));
    assert!(debugfs(&image, "stat /file").contains("Mode:  0755"));
    let default = edit(&["setxattr", "/file", "system.posix_acl_default", ACL]);
    assert!(default.errors().contains("no folder"), "{default}");
    let broken = set("0x0200000001000700ffffffff");
    assert_eq!(broken.status.code(), Some(1), "{broken}");
    assert_clean(&image);
}

/// What the kernel does with the same ACLs.
#[test]
fn the_kernel_gives_the_same_modes() {
    need!("mke2fs", "setfattr", "loop");
    let scratch = Scratch::new();
    let image = super::image(&scratch);
    let mount = forger_tests::mount::Mount::read_write(&image);
    let file = mount.path().join("file");
    fs::write(&file, "x").unwrap();
    for (acl, before, after) in [(ACL, 0o4640, 0o4650), (MINIMAL, 0o4600, 0o4755)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(before)).unwrap();
        Run::new("setfattr")
            .args(["-n", "system.posix_acl_access", "-v", acl])
            .arg(&file)
            .ok();
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, after, "{mode:o}");
    }
}
