//! Partitions beside boot and root: swap, data of other sources, hash trees.

use std::fs;
use std::path::Path;

use forger_tests::forger::forger;
use forger_tests::judge::assert_clean;
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;

use super::{cat, disk, fake, partition};

/// Returns what sfdisk says of a disk, as JSON.
pub(super) fn dump(disk: &Path) -> serde_json::Value {
    let dump = Run::new("sfdisk").arg("--json").arg(disk).ok();
    let dump: serde_json::Value = serde_json::from_slice(&dump.stdout).unwrap();
    dump["partitiontable"].clone()
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_lowercase()
}

fn names(dump: &serde_json::Value) -> Vec<String> {
    let partitions = dump["partitions"].as_array().unwrap();
    partitions.iter().map(|part| text(&part["name"])).collect()
}

#[test]
fn swap_and_partitions_of_other_sources_are_what_their_judges_expect() {
    need!(
        "sgdisk",
        "sfdisk",
        "blkid",
        "swaplabel",
        "e2fsck",
        "fsck.vfat"
    );
    let scratch = Scratch::new();
    let folder = scratch.path("folder");
    fs::create_dir_all(folder.join("me")).unwrap();
    fs::write(folder.join("me/file"), "hello\n").unwrap();
    let blob = scratch.file("blob", vec![7_u8; 5000]);
    let out = scratch.path("disk.raw");
    let home = format!("home:source={},label=homes,attrs=growfs", folder.display());
    let seed = format!(
        "seed:size=20M,format=vfat,label=CIDATA,source={}",
        folder.display()
    );
    let bytes = format!(
        "bytes:source={},format=none,attrs=no-auto+read-only+legacy-boot",
        blob.display()
    );
    let guid = "12345678-1234-4234-9234-123456789abc";
    let var = format!("var:size=10%,uuid={guid}");
    let args = [
        "--size",
        "1G",
        "--swap",
        "64M",
        "--partition",
        &home,
        "--partition",
        &seed,
        "--partition",
        &bytes,
        "--partition",
        &var,
    ];
    let made = disk(&fake(&scratch), &out, &args);
    assert!(made.status.success(), "{made}");
    let judged = Run::new("sgdisk").arg("-v").arg(&out).ok();
    assert!(judged.text().contains("No problems found"), "{judged}");
    let dump = dump(&out);
    // What grows stands last.
    let expected = ["esp", "swap", "home", "seed", "bytes", "var", "root"];
    assert_eq!(names(&dump), expected);
    let part = |index: usize| &dump["partitions"][index];
    for (index, kind) in [
        (1, "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"),
        (2, "933ac7e1-2eb4-4f13-b844-0e14e2aef915"),
        (3, "0fc63daf-8483-4772-8e79-3d69d8477de4"),
        (5, "4d21b016-b534-45c2-a9fb-5c16e091fd2d"),
    ] {
        assert_eq!(text(&part(index)["type"]), kind);
    }
    assert_eq!(text(&part(2)["attrs"]), "guid:59");
    assert_eq!(text(&part(4)["attrs"]), "legacybiosbootable guid:60,63");
    assert_eq!(text(&part(5)["uuid"]), guid);
    let swap = scratch.path("swap");
    partition(&out, "swap", &swap);
    let said = Run::new("blkid")
        .args(["-p", "-o", "export"])
        .arg(&swap)
        .ok()
        .text();
    assert!(
        said.contains("TYPE=swap") && said.contains("LABEL=swap"),
        "{said}"
    );
    let said = Run::new("swaplabel").arg(&swap).ok().text();
    assert!(
        said.contains("LABEL: swap") && said.contains("UUID:  "),
        "{said}"
    );
    for name in ["home", "var", "root"] {
        let file = scratch.path(name);
        partition(&out, name, &file);
        assert_clean(&file);
    }
    assert_eq!(fs::metadata(scratch.path("var")).unwrap().len(), 102 << 20);
    partition(&out, "seed", &scratch.path("seed"));
    Run::new("fsck.vfat")
        .arg("-n")
        .arg(scratch.path("seed"))
        .ok();
    assert_eq!(cat(&out, "home:/me/file"), b"hello\n");
    assert_eq!(cat(&out, "seed:/me/file"), b"hello\n");
    partition(&out, "bytes", &scratch.path("bytes"));
    assert_eq!(fs::read(scratch.path("bytes")).unwrap()[..5000], [7; 5000]);
}

#[test]
fn a_hash_tree_verifies_and_its_root_hash_names_both_partitions() {
    need!("sfdisk", "veritysetup", "e2fsck");
    let scratch = Scratch::new();
    let tar = fake(&scratch);
    for size in [&[][..], &["--size", "700M", "--swap", "10M"]] {
        let out = scratch.path("disk.raw");
        let args = [
            &["--verity", "--output", "json", "--cmdline", "quiet"],
            size,
        ]
        .concat();
        let made = disk(&tar, &out, &args);
        assert!(made.status.success(), "{made}");
        let said: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
        let hash = said["root_hash"].as_str().unwrap();
        let expected = format!("roothash={hash} root=/dev/mapper/root ro quiet");
        assert_eq!(said["cmdline"], expected.as_str());
        let entry = cat(&out, "esp:/loader/entries/fake-5.10.0-2.conf");
        assert!(String::from_utf8(entry).unwrap().contains(&expected));
        let (root, tree) = (scratch.path("root"), scratch.path("tree"));
        partition(&out, "root", &root);
        partition(&out, "root-verity", &tree);
        assert_clean(&root);
        let verify = Run::new("veritysetup").arg("verify");
        verify.arg(&root).arg(&tree).arg(hash).ok();
        let dump = dump(&out);
        for (index, half, kind) in [
            (1, &hash[..32], "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
            (2, &hash[32..], "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"),
        ] {
            let part = &dump["partitions"][index];
            assert_eq!(text(&part["uuid"]).replace('-', ""), half);
            assert_eq!(text(&part["type"]), kind);
            assert_eq!(text(&part["attrs"]), "guid:60");
        }
        assert!(!cat(&out, "root:/etc/os-release").is_empty());
        let grown = forger()
            .arg("ls")
            .arg(format!("{}#root:/usr/lib/repart.d", out.display()));
        assert_eq!(grown.output().status.code(), Some(1));
        fs::remove_file(&out).unwrap();
    }
}

#[test]
fn a_root_that_systemd_finds_needs_no_word_on_the_command_line() {
    let scratch = Scratch::new();
    let out = scratch.path("disk.raw");
    let args = [
        "--root",
        "discoverable",
        "--root-size",
        "300M",
        "--no-grow-root",
    ];
    let made = disk(&fake(&scratch), &out, &args);
    assert!(made.status.success(), "{made}");
    let entry = cat(&out, "esp:/loader/entries/fake-5.10.0-2.conf");
    let entry = String::from_utf8(entry).unwrap();
    assert!(entry.contains("options    rw\n"), "{entry}");
    let root = scratch.path("root");
    partition(&out, "root", &root);
    assert_eq!(fs::metadata(&root).unwrap().len(), 300 << 20);
}

#[test]
fn a_hybrid_mbr_shows_partitions_to_those_who_read_no_gpt() {
    need!("sgdisk", "fdisk", "sfdisk");
    let scratch = Scratch::new();
    let out = scratch.path("disk.raw");
    let args = ["--swap", "10M", "--hybrid-mbr", "esp,root"];
    let made = disk(&fake(&scratch), &out, &args);
    assert!(made.status.success(), "{made}");
    let judged = Run::new("sgdisk").arg("-v").arg(&out).ok();
    assert!(judged.text().contains("No problems found"), "{judged}");
    let gpt = dump(&out);
    assert_eq!(names(&gpt), ["esp", "swap", "root"]);
    let listed = Run::new("fdisk").args(["-t", "dos", "-l"]).arg(&out).ok();
    let lines: Vec<String> = listed
        .text()
        .lines()
        .filter(|line| line.starts_with(out.to_str().unwrap()))
        .map(|line| {
            line.split_whitespace()
                .skip(1)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    let [protective, esp, root] = &lines[..] else {
        panic!("{listed}");
    };
    assert!(
        protective.starts_with("1 2047 2047") && protective.ends_with("ee GPT"),
        "{listed}"
    );
    for (line, index, kind) in [(esp, 0, "ef EFI (FAT-12/16/32)"), (root, 2, "83 Linux")] {
        let part = &gpt["partitions"][index];
        let (start, size) = (
            part["start"].as_u64().unwrap(),
            part["size"].as_u64().unwrap(),
        );
        let place = format!("{start} {} {size} ", start + size - 1);
        assert!(line.starts_with(&place) && line.ends_with(kind), "{listed}");
    }
    for (word, said) in [("home", "no partition is"), ("1,1", "named twice")] {
        let refused = disk(
            &fake(&scratch),
            &scratch.path("no.raw"),
            &["--hybrid-mbr", word],
        );
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        assert!(refused.errors().contains(said), "{refused}");
    }
}

#[test]
fn a_seekable_source_needs_no_temporary_file() {
    need!("strace");
    let scratch = Scratch::new();
    let (tar, out) = (fake(&scratch), scratch.path("disk.qcow2"));
    let trace = scratch.path("trace");
    let shown = trace.display().to_string();
    let run = forger().arg("disk").arg(&tar).arg("-o").arg(&out);
    run.args(["--swap", "10M", "--verity", "--partition", "var:size=20M"])
        .env("TMPDIR", "/proc/none")
        .under(
            "strace",
            &["-f", "-e", "trace=file,memfd_create", "-o", &shown],
        )
        .ok();
    let trace = fs::read_to_string(&trace).unwrap();
    let count = |what: &str| {
        let made = |line: &&str| line.contains(what) && !line.contains("= -1");
        trace.lines().filter(made).count()
    };
    // The output itself has no name before it is whole.
    assert_eq!(count("O_TMPFILE"), 1, "{trace}");
    assert_eq!(count("O_CREAT") + count("memfd_create"), 0, "{trace}");
}

#[test]
fn what_cannot_be_laid_out_is_refused_and_nothing_is_left() {
    let scratch = Scratch::new();
    let tar = fake(&scratch);
    let out = scratch.path("disk.raw");
    for (args, code, said) in [
        (&["--partition", "home"][..], 2, "how large"),
        (&["--partition", "x:size=10%"], 2, "--size gives"),
        (&["--partition", "x:size=content"], 2, "needs source="),
        (&["--partition", "x:size=1G,verity=yes"], 2, "type=usr"),
        (
            &["--partition", "x:flavour=mint"],
            2,
            "flavour is not known",
        ),
        (&["--partition", "x:source=/none/such"], 1, "/none/such"),
        (&["--swap", "10K"], 1, "a swap area of"),
        (&["--verity", "--grow-root"], 2, "--grow-root"),
        (&["--partition", "esp:size=10M"], 2, "--esp-size"),
        (
            &["--swap", "1M", "--partition", "swap:size=1M"],
            2,
            "another partition",
        ),
        (&["--size", "400M", "--swap", "300M"], 1, "no room"),
        (&["--size", "600M", "--root-size", "500M"], 1, "need"),
    ] {
        let refused = disk(&tar, &out, args);
        assert_eq!(refused.status.code(), Some(code), "{args:?}: {refused}");
        assert!(refused.errors().contains(said), "{said}: {refused}");
        assert!(!out.exists());
    }
}
