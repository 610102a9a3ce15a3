//! A folder of the host as source.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use forger_tests::forger::forger;
use forger_tests::gnutar::Extracted;
use forger_tests::judge::assert_clean;
use forger_tests::mount::Mount;
use forger_tests::process::Run;
use forger_tests::sample;
use forger_tests::scratch::Scratch;
use forger_tests::walk::Listing;
use forger_tests::{forger as program, need, workspace};

#[test]
fn image_of_a_folder_equals_the_folder() {
    need!("loop", "mkfs.ext4", "tar", "zstd", "e2fsck");
    let scratch = Scratch::new();
    let tar = workspace().join("testdata/sample-rootfs.tar.zst");
    let extracted = Extracted::of(&tar, 32 << 20, 1000);
    // The judge's own lost+found is part of the folder, and keeps its inode number.
    let image = scratch.mkfs(extracted.path(), "out.ext4", &["--owner", "keep"]);
    assert_clean(&image);
    let mount = Mount::read_only(&image);
    Listing::of(mount.path(), &[]).assert_same(&extracted.listing(&[]));
}

#[test]
fn image_of_a_folder_does_not_depend_on_the_order_of_its_entries() {
    need!("cmp");
    let scratch = Scratch::new();
    let fill = |folder: &str, names: &mut dyn Iterator<Item = u32>| {
        let folder = scratch.path(folder);
        fs::create_dir(&folder).unwrap();
        for i in names {
            fs::write(folder.join(format!("file-{i}")), i.to_string()).unwrap();
        }
        for entry in fs::read_dir(&folder).unwrap() {
            touch(&entry.unwrap().path());
        }
        touch(&folder);
        folder
    };
    let upwards = fill("upwards", &mut (0..300));
    let downwards = fill("downwards", &mut (0..300).rev());
    let first = scratch.mkfs(&upwards, "first.ext4", &[]);
    let second = scratch.mkfs(&downwards, "second.ext4", &[]);
    Run::new("cmp").arg(&first).arg(&second).ok();
}

fn touch(path: &Path) {
    Run::new("touch")
        .args(["-h", "-d", "@1700000000"])
        .arg(path)
        .ok();
}

#[test]
fn holes_of_a_folder_stay_holes_and_hard_links_are_found() {
    need!("loop", "e2fsck");
    let scratch = Scratch::new();
    let folder = scratch.path("folder");
    fs::create_dir(&folder).unwrap();
    let sparse = fs::File::create(folder.join("sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    fs::hard_link(folder.join("sparse"), folder.join("again")).unwrap();
    let image = scratch.mkfs(&folder, "out.ext4", &["--keep-zeros"]);
    assert_clean(&image);
    let mount = Mount::read_only(&image);
    let meta = fs::metadata(mount.join("again")).unwrap();
    assert_eq!((meta.len(), meta.blocks(), meta.nlink()), (1 << 30, 0, 2));
}

/// Makes a folder whose owner is 1000:1000, where everybody can read.
fn owned(scratch: &Scratch) -> std::path::PathBuf {
    let folder = scratch.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "content").unwrap();
    for path in [&folder, &folder.join("file")] {
        chown(path, Some(1000), Some(1000)).unwrap();
    }
    folder
}

#[test]
fn owners_are_kept_for_root_and_become_root_for_others_who_are_told() {
    need!("loop", "setpriv");
    let scratch = Scratch::new();
    let folder = owned(&scratch);
    let owner = |image: &Path| {
        let mount = Mount::read_only(image);
        let meta = fs::metadata(mount.join("file")).unwrap();
        (meta.uid(), meta.gid())
    };
    assert_eq!(
        owner(&scratch.mkfs(&folder, "kept.ext4", &[])),
        (1000, 1000)
    );
    assert_eq!(
        owner(&scratch.mkfs(&folder, "root.ext4", &["--owner", "root"])),
        (0, 0)
    );
    assert_eq!(
        owner(&scratch.mkfs(&folder, "ids.ext4", &["--owner", "7:8"])),
        (7, 8)
    );
    fs::set_permissions(scratch.root(), fs::Permissions::from_mode(0o777)).unwrap();
    let copy = scratch.path("forger");
    fs::copy(program::binary(), &copy).unwrap();
    let nobody = |args: &[&str], out: &str| {
        Run::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(&copy)
            .arg("mkfs")
            .arg(&folder)
            .arg(scratch.path(out))
            .args(args)
            .ok()
    };
    let output = nobody(&[], "mapped.ext4");
    assert!(output.errors().contains("root"), "{output}");
    assert_eq!(owner(&scratch.path("mapped.ext4")), (0, 0));
    nobody(&["--owner", "keep"], "nobody.ext4");
    assert_eq!(owner(&scratch.path("nobody.ext4")), (1000, 1000));
}

#[test]
fn unreadable_file_is_an_error_that_names_it() {
    need!("root", "setpriv");
    let scratch = Scratch::new();
    let folder = owned(&scratch);
    fs::set_permissions(folder.join("file"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(scratch.root(), fs::Permissions::from_mode(0o777)).unwrap();
    let copy = scratch.path("forger");
    fs::copy(program::binary(), &copy).unwrap();
    let output = Run::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(&copy)
        .arg("mkfs")
        .arg(&folder)
        .arg(scratch.path("out.ext4"))
        .output();
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(output.errors().contains("file"), "{output}");
    assert!(!scratch.path("out.ext4").exists());
}

#[test]
fn mounts_inside_a_folder_are_left_out_on_request() {
    need!("loop", "e2fsck");
    let scratch = Scratch::new();
    let folder = scratch.path("folder");
    fs::create_dir_all(folder.join("mounted")).unwrap();
    let _ = scratch.file("folder/file", "stays");
    let other = Mount::scratch(&scratch.path("other.ext4"), 1 << 20, 10);
    fs::write(other.join("elsewhere"), "on another filesystem").unwrap();
    Run::new("mount")
        .arg("--bind")
        .arg(other.path())
        .arg(folder.join("mounted"))
        .ok();
    let make = |name: &str, args: &[&str]| {
        forger()
            .arg("mkfs")
            .arg(&folder)
            .arg(scratch.path(name))
            .args(args)
            .output()
    };
    let whole = make("whole.ext4", &[]);
    let one = make("one.ext4", &["--one-file-system"]);
    Run::new("umount").arg(folder.join("mounted")).ok();
    for output in [whole, one] {
        assert!(output.status.success(), "{output}");
    }
    let has = |name: &str| {
        let mount = Mount::read_only(&scratch.path(name));
        let listing = Listing::of(mount.path(), &[]);
        assert!(listing.line("mounted").is_some() && listing.line("file").is_some());
        listing.line("mounted/elsewhere").is_some()
    };
    assert!(has("whole.ext4"));
    assert!(!has("one.ext4"));
}

#[test]
fn folder_overlay_keeps_symlinks_to_folders_and_later_files_win() {
    need!("loop", "e2fsck");
    let scratch = Scratch::new();
    let tar = scratch.file("sample.tar", sample::rootfs());
    fs::create_dir_all(scratch.path("overlay/lib")).unwrap();
    fs::create_dir_all(scratch.path("overlay/etc")).unwrap();
    let _ = scratch.file("overlay/lib/agent.so", "below usr/lib");
    let _ = scratch.file("overlay/etc/hostname", "changed\n");
    let agent = scratch.file("agent", "#!/bin/sh\n");
    let inject = format!("{}:/usr/local/bin/agent:0755", agent.display());
    let owned = format!("{}:bin/owned:4711:5:6", agent.display());
    let overlay = scratch.path("overlay");
    let args = [
        "--overlay",
        overlay.to_str().unwrap(),
        "--inject",
        &inject,
        "--inject",
        &owned,
    ];
    let image = scratch.mkfs(&tar, "out.ext4", &args);
    assert_clean(&image);
    let mount = Mount::read_only(&image);
    let listing = Listing::of(mount.path(), &[]);
    assert!(listing.line("lib").unwrap().starts_with("symlink"));
    assert!(listing.line("usr/lib/agent.so").is_some());
    assert_eq!(fs::read(mount.join("etc/hostname")).unwrap(), b"changed\n");
    assert!(
        listing
            .line("usr/local/bin/agent")
            .unwrap()
            .starts_with("file 0755 0:0")
    );
    assert!(
        listing
            .line("usr/bin/owned")
            .unwrap()
            .starts_with("file 4711 5:6")
    );
}

#[test]
fn an_injected_file_does_not_replace_a_folder_and_goes_into_it_when_told() {
    need!("debugfs");
    let scratch = Scratch::new();
    let tar = scratch.file("sample.tar", sample::rootfs());
    let agent = scratch.file("agent", "#!/bin/sh\n");
    let out = scratch.path("out.ext4");
    // The second is a symlink to a folder.
    for (to, remedy) in [("/usr/bin", ":/usr/bin/ "), ("bin", ":/bin/ ")] {
        let inject = format!("{}:{to}", agent.display());
        let run = forger().arg("mkfs").arg(&tar).arg(&out);
        let refused = run.args(["--inject", &inject]).output();
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        let said = refused
            .errors()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        assert!(
            said.contains("there is a folder") && said.contains(remedy),
            "{said}"
        );
        assert!(!out.exists());
    }
    let inject = format!("{}:/bin/", agent.display());
    let image = scratch.mkfs(&tar, "out.ext4", &["--inject", &inject]);
    let stat = Run::new("debugfs")
        .args(["-R", "stat /usr/bin/agent"])
        .arg(&image)
        .ok();
    assert!(stat.text().contains("Type: regular"), "{stat}");
}

#[test]
fn an_output_inside_the_folder_that_is_read_is_said() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("folder")).unwrap();
    let _ = scratch.file("folder/file", "text");
    let folder = scratch.path("folder");
    let inside = forger()
        .arg("mkfs")
        .arg(&folder)
        .arg(folder.join("out.ext4"))
        .ok();
    assert!(inside.errors().contains("appears inside"), "{inside}");
    let beside = forger()
        .arg("mkfs")
        .arg(&folder)
        .arg(scratch.path("out.ext4"))
        .ok();
    assert!(!beside.errors().contains("appears inside"), "{beside}");
}
