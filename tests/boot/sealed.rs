//! `--seal` and `--extract-kernel`.

use std::fs;

use forger_tests::archive::{Archive, Member};
use forger_tests::forger::forger;
use forger_tests::scratch::Scratch;

use super::{cat, disk, fake};

#[test]
fn a_sealed_disk_has_nothing_of_one_installation() {
    let scratch = Scratch::new();
    let mut archive = Archive::new();
    archive.extend(&[
        Member::file("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        Member::file("etc/hostname", "box\n"),
        Member::file("etc/ssh/ssh_host_ed25519_key", "secret\n").mode(0o600),
        Member::file("etc/ssh/sshd_config", "UsePAM yes\n"),
        Member::dir("var/log/apt"),
        Member::file("var/log/apt/history.log", "a log that must not be found\n"),
        Member::file("./var/log/wtmp", vec![0; 384]),
        Member::symlink("var/lib/dbus/machine-id", "/etc/machine-id"),
        Member::file("var/lib/systemd/random-seed", vec![9; 512]),
    ]);
    let tar = scratch.file("used.tar", archive.finish());
    let out = scratch.path("disk.raw");
    let overlay = scratch.path("overlay");
    fs::create_dir_all(overlay.join("etc/ssh")).unwrap();
    fs::write(overlay.join("etc/ssh/ssh_host_rsa_key"), "wanted\n").unwrap();
    let overlay = overlay.display().to_string();
    let args = [
        "--boot",
        "none",
        "--seal",
        "--output",
        "json",
        "--overlay",
        &overlay,
    ];
    let made = disk(&tar, &out, &args);
    assert!(made.status.success(), "{made}");
    let said: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let sealed: Vec<&str> = said["sealed"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|name| name.as_str())
        .collect();
    let expected = [
        "etc/machine-id",
        "etc/ssh/ssh_host_ed25519_key",
        "var/log/apt/history.log",
        "var/log/wtmp",
        "var/lib/systemd/random-seed",
    ];
    assert_eq!(sealed, expected);
    let listed = forger()
        .arg("find")
        .arg(format!("{}#root", out.display()))
        .ok()
        .text();
    let has = |path: &str| listed.lines().any(|line| line == path);
    for name in expected.iter().skip(1) {
        assert!(!has(&format!("/{name}")), "{name}: {listed}");
    }
    for name in [
        "/var/log/apt",
        "/etc/ssh/sshd_config",
        "/etc/hostname",
        "/var/lib/dbus/machine-id",
        "/etc/ssh/ssh_host_rsa_key",
    ] {
        assert!(has(name), "{name}: {listed}");
    }
    assert_eq!(cat(&out, "root:/etc/machine-id"), b"");
    let bytes = fs::read(&out).unwrap();
    assert!(!bytes.windows(16).any(|bytes| bytes == b"must not be foun"));
}

#[test]
fn a_kernel_and_what_starts_it_are_written_beside_the_disk() {
    let scratch = Scratch::new();
    let tar = fake(&scratch);
    let (out, folder) = (scratch.path("disk.raw"), scratch.path("kernel"));
    let microcode = scratch.file("microcode", vec![8_u8; 1001]);
    let microcode = microcode.display().to_string();
    let to = folder.display().to_string();
    let args = [
        "--boot",
        "none",
        "--cmdline",
        "quiet",
        "--initrd",
        &microcode,
        "--extract-kernel",
        &to,
    ];
    let made = disk(&tar, &out, &args);
    assert!(made.status.success(), "{made}");
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    assert_eq!(read("vmlinuz"), vec![1; 300_000]);
    // One after the other, each at a multiple of 4.
    let initrd = read("initrd");
    assert_eq!(initrd.len(), 1004 + 500_000);
    assert_eq!((initrd[1000], initrd[1001], initrd[1004]), (8, 0, 2));
    assert_eq!(read("config"), b"CONFIG_X=y\n");
    let cmdline = String::from_utf8(read("cmdline")).unwrap();
    let dump = forger()
        .args(["info", "--output", "json"])
        .arg(&out)
        .ok()
        .text();
    let guid = cmdline.strip_prefix("root=PARTUUID=").unwrap();
    let guid = guid.strip_suffix(" rw quiet\n").unwrap();
    assert!(dump.contains(guid), "{cmdline}: {dump}");
    // Nothing is written over, and nothing then appears at all.
    let again = scratch.path("again.raw");
    let refused = disk(&tar, &again, &args);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(
        refused.errors().contains("vmlinuz") && !again.exists(),
        "{refused}"
    );
}
