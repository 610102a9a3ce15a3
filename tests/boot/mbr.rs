//! Disks with a master boot record.

use forger_tests::forger::forger;
use forger_tests::judge::assert_clean;
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use serde_json::Value;

use super::partitions::dump;
use super::{cat, disk, fake, modelled, partition};

/// Returns type and active flag of each partition, as sfdisk says them.
fn kinds(dump: &Value) -> Vec<(String, bool)> {
    let partitions = dump["partitions"].as_array().unwrap().iter();
    let kind = |part: &Value| {
        let kind = part["type"].as_str().unwrap().to_owned();
        (kind, part["bootable"].as_bool().unwrap_or(false))
    };
    partitions.map(kind).collect()
}

#[test]
fn a_master_boot_record_is_what_its_judges_read() {
    need!("sfdisk", "fdisk", "blkid", "e2fsck", "fsck.vfat");
    let scratch = Scratch::new();
    let out = scratch.path("disk.raw");
    let args = [
        "--table",
        "mbr",
        "--esp-size",
        "100M",
        "--swap",
        "10M",
        "--bootable",
        "root",
        "--partition",
        "seed:size=40M,format=vfat,label=CIDATA",
        "--partition",
        "data:size=30M,type=0x8e,format=ext4",
    ];
    let made = disk(&fake(&scratch), &out, &args);
    assert!(made.status.success(), "{made}");
    let judged = Run::new("sfdisk").arg("--verify").arg(&out).ok();
    assert!(judged.text().contains("No errors detected"), "{judged}");
    let dumped = dump(&out);
    assert_eq!(dumped["label"], "dos");
    let expected = [
        ("ef", false),
        ("83", true),
        ("82", false),
        ("f", false),
        ("c", false),
        ("8e", false),
    ];
    let expected = expected.map(|(kind, active)| (kind.to_owned(), active));
    assert_eq!(kinds(&dumped), expected, "{dumped}");
    let listed = Run::new("fdisk").arg("-l").arg(&out).ok();
    assert!(listed.text().contains("EFI (FAT-12/16/32)"), "{listed}");
    assert!(!listed.errors().contains("wrong"), "{listed}");
    // The root is found by the disk's signature and its number.
    let signature = dumped["id"]
        .as_str()
        .unwrap()
        .trim_start_matches("0x")
        .to_owned();
    let probed = Run::new("blkid").arg("-p").arg(&out).ok().text();
    assert!(
        probed.contains(&format!("PTUUID=\"{signature}\"")),
        "{probed}"
    );
    let entry = cat(&out, "esp:/loader/entries/fake-5.10.0-2.conf");
    let entry = String::from_utf8(entry).unwrap();
    assert!(
        entry.contains(&format!("root=PARTUUID={signature}-02 rw")),
        "{entry}"
    );
    assert!(
        made.text().contains(&format!("{signature}-02, active")),
        "{made}"
    );
    let part = |number: &str, name: &str| {
        let path = scratch.path(name);
        partition(&out, number, &path);
        path
    };
    assert_clean(&part("2", "root"));
    assert_clean(&part("6", "data"));
    for (number, name) in [("1", "esp"), ("5", "seed")] {
        Run::new("fsck.vfat").arg("-n").arg(part(number, name)).ok();
    }
    let swap = Run::new("blkid").arg("-p").arg(part("3", "swap")).ok();
    assert!(swap.text().contains("TYPE=\"swap\""), "{swap}");
    // The last logical partition grows, and the extended one with it.
    let grown = forger().arg("resize").arg(format!("{}#6", out.display()));
    grown.arg("+16M").ok();
    let judged = Run::new("sfdisk").arg("--verify").arg(&out).ok();
    assert!(judged.text().contains("No errors detected"), "{judged}");
    assert_eq!(kinds(&dump(&out)), expected);
    assert_clean(&part("6", "grown"));
}

#[test]
fn a_signature_can_be_chosen_and_equal_input_gives_equal_records() {
    need!("sfdisk");
    let scratch = Scratch::new();
    let tar = fake(&scratch);
    let made = |name: &str, args: &[&str]| {
        let out = scratch.path(name);
        let args = [&["--table", "mbr", "--boot", "none"], args].concat();
        let made = disk(&tar, &out, &args);
        assert!(made.status.success(), "{made}");
        out
    };
    let (one, two) = (made("one.raw", &[]), made("two.raw", &[]));
    Run::new("cmp").arg(&one).arg(&two).ok();
    let chosen = dump(&made("three.raw", &["--disk-id", "0BADCAFE"]));
    assert_eq!(chosen["id"], "0x0badcafe");
    assert_eq!(kinds(&chosen), [("83".to_owned(), false)]);
    assert_ne!(dump(&one)["id"], chosen["id"]);
}

#[test]
fn a_disk_is_laid_out_as_a_dump_of_an_mbr_says() {
    need!("sfdisk", "e2fsck", "fsck.vfat");
    let scratch = Scratch::new();
    let script = "label: dos\nlabel-id: 0x0badcafe\n\
        start=2050, size=409600, type=ef\n\
        start=500000, size=614403, type=83, bootable\n\
        start=1200000, size=300000, type=5\n\
        start=1202048, size=40000, type=82\n\
        start=1300001, size=40000, type=83\n";
    let (model, layout) = modelled(&scratch, script);
    let out = scratch.path("disk.raw");
    let made = disk(
        &fake(&scratch),
        &out,
        &["--layout", &layout.display().to_string()],
    );
    assert!(made.status.success(), "{made}");
    // All but the extended one, which ends with what is in it.
    let places = |dump: &Value| -> Vec<String> {
        let partitions = dump["partitions"].as_array().unwrap().iter();
        let all = partitions
            .map(|part| format!("{} {} {}", part["start"], part["size"], part["bootable"]));
        let mut all: Vec<String> = all.collect();
        all.remove(2);
        all
    };
    let (one, two) = (dump(&model), dump(&out));
    assert_eq!(places(&one), places(&two));
    assert_eq!(one["id"], two["id"]);
    let root = scratch.path("root");
    partition(&out, "2", &root);
    assert_clean(&root);
    assert!(!cat(&out, "esp:/loader/loader.conf").is_empty());
}

#[test]
fn what_a_master_boot_record_cannot_say_is_refused() {
    let scratch = Scratch::new();
    let tar = fake(&scratch);
    let out = scratch.path("disk.raw");
    let guid = "home:size=20M,uuid=12345678-1234-4234-9234-123456789abc";
    for (args, code, said) in [
        (&["--verity"][..], 2, "GUIDs"),
        (&["--root", "discoverable"], 2, "GUID"),
        (&["--grow-root"], 2, "systemd-repart"),
        (&["--hybrid-mbr", "esp"], 2, "beside a GPT"),
        (&["--sector-size", "4096"], 2, "512"),
        (&["--disk-id", "123"], 2, "8 hexadecimal digits"),
        (&["--bootable", "home"], 2, "no such partition"),
        (&["--partition", guid], 1, "it has no GUID there"),
        (
            &["--partition", "home:size=20M,attrs=no-auto"],
            1,
            "no attributes there",
        ),
    ] {
        let refused = disk(&tar, &out, &[&["--table", "mbr"], args].concat());
        assert_eq!(refused.status.code(), Some(code), "{refused}");
        assert!(refused.errors().contains(said), "{said}: {refused}");
        assert!(!out.exists());
    }
    let refused = disk(&tar, &out, &["--partition", "x:size=20M,type=0x0c"]);
    assert_eq!(refused.status.code(), Some(2), "{refused}");
    assert!(refused.errors().contains("--table mbr"), "{refused}");
}
