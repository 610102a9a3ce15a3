//! `forger find` against GNU find on a kernel mount.

use std::collections::BTreeSet;
use std::path::Path;

use forger_tests::forger::forger;
use forger_tests::mount::Mount;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::{need, workspace};

fn sample(scratch: &Scratch) -> std::path::PathBuf {
    let tar = workspace().join("testdata/sample-rootfs.tar.zst");
    scratch.mkfs(&tar, "sample.ext4", &[])
}

/// Returns the paths that forger finds, in its order.
fn found(image: &Path, args: &[&str]) -> Vec<Vec<u8>> {
    let output = forger().args(["find", "-0"]).arg(image).args(args).ok();
    paths(&output.stdout)
}

fn paths(stdout: &[u8]) -> Vec<Vec<u8>> {
    let mut paths: Vec<Vec<u8>> = stdout
        .split(|byte| *byte == 0)
        .map(<[u8]>::to_vec)
        .collect();
    assert_eq!(paths.pop(), Some(Vec::new()), "every path ends with a NUL");
    paths
}

#[test]
fn tests_find_what_gnu_find_finds() {
    need!("root", "loop", "find");
    let scratch = Scratch::new();
    let image = sample(&scratch);
    let mount = Mount::read_only(&image);
    let judged = |args: &[&str]| -> BTreeSet<Vec<u8>> {
        let run = Run::new("find").arg(mount.path()).args(args);
        let output = run.args(["-printf", "/%P\\0"]).ok();
        paths(&output.stdout).into_iter().collect()
    };
    let cases: [(&[&str], &[&str]); 14] = [
        (&[], &[]),
        (&["--type", "f"], &["-type", "f"]),
        (&["--type", "l,d"], &["-type", "l,d"]),
        (&["-t", "c"], &["-type", "c"]),
        (&["--type", "p"], &["-type", "p"]),
        (&["--perm", "/6000"], &["-perm", "/6000"]),
        (&["--perm", "-6000"], &["-perm", "-6000"]),
        (&["--perm", "0644"], &["-perm", "0644"]),
        (
            &["--uid", "1000", "--gid", "1000"],
            &["-uid", "1000", "-gid", "1000"],
        ),
        (&["--uid", "4294967294"], &["-uid", "4294967294"]),
        (&["--size", "+100000"], &["-type", "f", "-size", "+100000c"]),
        (&["--size", "-10"], &["-type", "f", "-size", "-10c"]),
        (&["--name", "*.so*"], &["-name", "*.so*"]),
        (&["/srv/*/entry-01*"], &["-path", "*/srv/many/entry-01*"]),
    ];
    for (ours, gnus) in cases {
        let found = found(&image, ours);
        let set: BTreeSet<Vec<u8>> = found.iter().cloned().collect();
        assert_eq!(set.len(), found.len(), "{ours:?}");
        assert!(!set.is_empty(), "{ours:?}");
        assert_eq!(set, judged(gnus), "{ours:?}");
    }
}

#[test]
fn globs_are_for_whole_paths_in_order_of_names() {
    let scratch = Scratch::new();
    let image = sample(&scratch);
    let found = |args: &[&str]| {
        let paths = found(&image, args);
        let text = |path| String::from_utf8(path).unwrap();
        paths.into_iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(found(&["/etc/host*"]), ["/etc/hostname"]);
    assert_eq!(found(&["/host*"]), [""; 0]);
    assert_eq!(
        found(&["hostname", "/etc/pass??"]),
        ["/etc/hostname", "/etc/passwd"]
    );
    assert_eq!(
        found(&["/srv/implied/**"]),
        [
            "/srv/implied",
            "/srv/implied/deep",
            "/srv/implied/deep/member"
        ]
    );
    assert_eq!(found(&["/**/deep/*"]), ["/srv/implied/deep/member"]);
    assert_eq!(
        found(&["--xattr", "security.capability"]),
        ["/usr/bin/ping"]
    );
    assert_eq!(found(&["--xattr", "user.l*", "/**/*block"]).len(), 2);
    assert_eq!(found(&["/"]), ["/"]);
}

#[test]
fn paths_begin_at_the_root_of_the_image_and_odd_names_are_escaped() {
    let scratch = Scratch::new();
    let image = sample(&scratch);
    let find = |path: &str, args: &[&str]| {
        let address = format!("{}:{path}", image.display());
        forger().arg("find").arg(address).args(args).output().text()
    };
    // A symlink in PATH is followed.
    assert_eq!(find("/lib/", &["-t", "f"]), "/lib/libsample.so.1\n");
    assert_eq!(find("/etc/hostname", &[]), "/etc/hostname\n");
    let names = find("/srv/names", &[]);
    assert!(
        names.contains("/srv/names/ blank and\\nnewline \n"),
        "{names}"
    );
    assert!(names.contains("/srv/names/\\xff\\xfe\\u{1}\n"), "{names}");
    let line = find("/dev", &["null", "--output", "json"]);
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["path"], "/dev/null");
    assert_eq!(object["device"], "1:3");
    assert_eq!(object["type"], "char");
}
