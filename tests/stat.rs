//! `forger stat` against the kernel: GNU stat, lsattr, getcap, getfacl and debugfs.

use std::path::Path;

use forger_tests::forger::forger;
use forger_tests::judge::debugfs;
use forger_tests::mount::Mount;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::{need, workspace};
use serde_json::Value;

fn sample(scratch: &Scratch) -> std::path::PathBuf {
    let tar = workspace().join("testdata/sample-rootfs.tar.zst");
    scratch.mkfs(&tar, "sample.ext4", &[])
}

/// Asks for the facts of every path.
fn facts(image: &Path, paths: &[&str], args: &[&str]) -> Vec<Value> {
    let addresses = paths
        .iter()
        .map(|path| format!("{}:{path}", image.display()));
    let run = forger().args(["stat", "--output", "json"]).args(args);
    let text = run.args(addresses).ok().text();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

const PATHS: [&str; 13] = [
    "/",
    "/etc/os-release",
    "/usr/bin/both",
    "/usr/bin/ping",
    "/srv/many",
    "/srv/links/one",
    "/srv/links/fast",
    "/srv/links/slow",
    "/srv/times/1960",
    "/srv/times/latest",
    "/srv/contents/sparse-pax",
    "/dev/wide",
    "/run/fifo",
];

#[test]
fn facts_are_those_of_gnu_stat() {
    need!("root", "loop", "stat", "lsattr");
    let scratch = Scratch::new();
    let image = sample(&scratch);
    let found = facts(&image, &PATHS, &[]);
    let mount = Mount::read_only(&image);
    for (path, found) in PATHS.iter().zip(found) {
        let full = mount.join(&path[1..]);
        let format = "%i %a %u %g %s %b %h %Hr %Lr %.9X %.9Y %.9Z %A";
        let judged = Run::new("stat").args(["-c", format]).arg(&full).ok().text();
        let device = found["device"].as_str().unwrap_or("0:0").replace(':', " ");
        let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        let ours = format!(
            "{} {} {} {} {} {} {} {device} {} {} {} {}",
            found["inode"],
            text("mode").trim_start_matches('0'),
            found["uid"],
            found["gid"],
            found["size"],
            found["blocks"],
            found["links"],
            seconds(&text("atime")),
            seconds(&text("mtime")),
            seconds(&text("ctime")),
            text("permissions"),
        );
        assert_eq!(ours, judged.trim(), "{path}");
        if matches!(found["type"].as_str(), Some("file" | "directory")) {
            let judged = Run::new("lsattr").arg("-d").arg(&full).ok().text();
            let letters = found["flags"]["letters"].as_str();
            assert_eq!(letters, judged.split(' ').next(), "{path}");
        }
    }
}

/// Returns a time as GNU stat has it: seconds since 1970 with nine digits.
fn seconds(utc: &str) -> String {
    let run = Run::new("date").args(["-u", "+%s.%N", "-d", utc]);
    let text = run.ok().text().trim().to_owned();
    // What is before 1970 counts backwards in date, too, but stat's fraction does not.
    match text.strip_prefix('-').and_then(|text| text.split_once('.')) {
        Some((whole, fraction)) if fraction.bytes().any(|digit| digit != b'0') => {
            let (whole, fraction): (i64, u64) = (whole.parse().unwrap(), fraction.parse().unwrap());
            let back = 1_000_000_000 - fraction;
            format!("-{}.{back:09}", whole - 1)
        }
        _ => text,
    }
}

#[test]
fn capabilities_and_acls_are_shown_as_their_tools_show_them() {
    need!("root", "loop", "getcap", "setcap", "getfacl");
    let scratch = Scratch::new();
    let image = sample(&scratch);
    let sets = [
        "cap_net_raw=ep",
        "cap_net_raw=p cap_net_admin=i",
        "cap_net_raw=ep cap_bpf=ei",
        "=ep",
        "=ep cap_setfcap-ep",
    ];
    let mount = Mount::read_write(&image);
    let mut expected = Vec::new();
    for (place, set) in sets.iter().enumerate() {
        let file = mount.join(format!("file-{place}"));
        std::fs::write(&file, "").unwrap();
        Run::new("setcap").args(["-q", set]).arg(&file).ok();
        let shown = Run::new("getcap").arg("-n").arg(&file).ok().text();
        let (_, shown) = shown.trim().split_once(' ').unwrap();
        expected.push(shown.to_owned());
    }
    let run = Run::new("getfacl").args(["-ncE"]);
    let acl = run.arg(mount.join("srv/attributes/acl")).ok().text();
    drop(mount);
    let paths: Vec<String> = (0..sets.len()).map(|n| format!("/file-{n}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    for (found, expected) in facts(&image, &paths, &[]).iter().zip(expected) {
        assert_eq!(found["xattrs"][0]["capability"], expected.as_str());
    }
    let found = &facts(&image, &["/srv/attributes/acl"], &[])[0]["xattrs"][0];
    assert_eq!(found["name"], "system.posix_acl_access");
    let lines: Vec<&str> = acl.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(found["acl"], lines.join(",").as_str());
}

#[test]
fn extents_are_those_of_debugfs() {
    need!("debugfs");
    let scratch = Scratch::new();
    let image = sample(&scratch);
    for path in [
        "/srv/contents/sparse-gnu",
        "/srv/contents/noise",
        "/srv/many",
    ] {
        let found = &facts(&image, &[path], &["--extents"])[0];
        let mut blocks = Vec::new();
        for extent in found["extents"].as_array().unwrap() {
            let number = |name: &str| extent[name].as_u64().unwrap();
            let first = number("physical");
            blocks.extend(first..first + number("blocks"));
        }
        let nodes = found["map_blocks"].as_array().unwrap();
        blocks.extend(nodes.iter().map(|block| block.as_u64().unwrap()));
        blocks.sort_unstable();
        let judged = debugfs(&image, &format!("blocks {path}"));
        let mut judged: Vec<u64> = judged
            .split_whitespace()
            .map(|block| block.parse().unwrap())
            .collect();
        judged.sort_unstable();
        assert_eq!(blocks, judged, "{path}");
    }
}

#[test]
fn text_shows_what_is_asked_for_and_symlinks_are_not_followed() {
    let scratch = Scratch::new();
    let image = sample(&scratch);
    let stat = |path: &str, args: &[&str]| {
        let address = format!("{}:{path}", image.display());
        forger().arg("stat").args(args).arg(address).output()
    };
    let text = stat("/srv/links/fast", &[]).text();
    assert!(text.contains("target      one\n"), "{text}");
    assert!(text.contains("type        symlink\n"), "{text}");
    let text = stat("/srv/links/fast", &["-L", "-e"]).text();
    assert!(text.contains("type        file\n"), "{text}");
    assert!(text.contains("extent      0-0 at "), "{text}");
    let text = stat("/srv/attributes/binary", &[]).text();
    assert!(text.contains("user.binary=0x000102"), "{text}");
    let output = stat("/absent", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.errors().contains("/absent"), "{output}");
}
