//! The sample rootfs itself: that it is what its source says, and that GNU tar takes all of it.

use std::fs;

use forger_tests::gnutar::Extracted;
use forger_tests::process::Run;
use forger_tests::sample;
use forger_tests::{need, workspace};

#[test]
fn stored_sample_is_what_xtask_testdata_makes() {
    let stored = fs::read(workspace().join("testdata/sample-rootfs.tar.zst")).unwrap();
    assert!(stored.len() < 200_000, "{} bytes", stored.len());
    let plain = zstd::decode_all(&stored[..]).unwrap();
    assert!(
        plain == sample::rootfs(),
        "run `cargo xtask testdata` and commit the result"
    );
}

#[test]
fn gnu_tar_extracts_every_kind_of_entry_of_the_sample() {
    need!("loop", "mkfs.ext4", "tar", "zstd");
    let tar = workspace().join("testdata/sample-rootfs.tar.zst");
    let extracted = Extracted::of(&tar, 32 << 20, 1000);
    let listing = extracted.listing(&sample::IMPLIED);
    let has = |path: &[u8], what: &str| {
        let line = listing
            .line(path)
            .unwrap_or_else(|| panic!("{}", path.escape_ascii()));
        assert!(
            line.contains(what),
            "{}: {line} lacks {what}",
            path.escape_ascii()
        );
    };
    has(b"usr/lib/libsample.so.1", "file 0755");
    has(
        b"srv/late",
        "folder 2750 7:8 1735786946.000000009 names=2 user.late=y",
    );
    has(b"srv/implied", "folder");
    has(b"srv/id-huge", "4294967294:4000000000");
    has(b"srv/times/1960", " -315619200.876543211 ");
    has(b"srv/times/latest", " 15032385534.999999999 ");
    has(b"srv/links/three", "names=3");
    has(b"srv/links/two", "same-as=srv/links/one");
    has(
        b"srv/links/second-name-of-fast",
        "same-as=srv/links/fast -> one",
    );
    has(
        b"dev/widest",
        "block 0660 0:0 1735787045.000000000 names=1 device=4095:1048575",
    );
    has(b"run/fifo", "fifo 0620 1:5");
    has(
        b"srv/attributes/several",
        "security.selinux=system_u:object_r:etc_t:s0\\x00",
    );
    has(
        b"srv/attributes/acl",
        "system.posix_acl_access=\\x02\\x00\\x00\\x00",
    );
    has(
        b"srv/attributes/default-acl",
        "system.posix_acl_default=\\x02\\x00\\x00\\x00",
    );
    has(b"usr/bin/ping", "security.capability=\\x01\\x00\\x00\\x02");
    has(b"srv/contents/sparse-gnu", "size=4000000");
    has(b"srv/contents/sparse-pax", "size=67108864");
    has(b"srv/names/\xff\xfe\x01", "file 0644");
    has(b"srv/dialects/base-256", "3000000000:2097152 -1000000.0");
    has(b"etc/secret", "size=20");
}

#[test]
fn testdata_readme_names_every_file_with_its_digest() {
    need!("sha256sum");
    let dir = workspace().join("testdata");
    let readme = fs::read_to_string(dir.join("README.md")).unwrap();
    for entry in fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name == "README.md" {
            continue;
        }
        let row = readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")))
            .unwrap_or_else(|| panic!("testdata/README.md has no row for {name}"));
        let sum = Run::new("sha256sum").arg(entry.path()).ok().text();
        let digest = sum.split(' ').next().unwrap();
        assert!(row.contains(digest), "{name} has sha256 {digest}");
    }
}
