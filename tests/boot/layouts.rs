//! `--layout`: dumps of sfdisk and definitions of systemd-repart.

use std::fs;
use std::path::PathBuf;

use forger_tests::judge::assert_clean;
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;

use super::partitions::dump;
use super::{cat, disk, fake, modelled, partition};

/// Writes definitions of a boot partition, a root, a home of SOURCE's files, swap and free space.
pub(super) fn definitions(scratch: &Scratch) -> PathBuf {
    let folder = scratch.path("repart.d");
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in [
        (
            "10-esp.conf",
            "Type=esp\nFormat=vfat\nSizeMinBytes=300M\nSizeMaxBytes=300M\n",
        ),
        (
            "20-root.conf",
            "Type=root\nFormat=ext4\nLabel=system\nWeight=3000\nMakeDirectories=/efi\nExcludeFiles=/srv\n",
        ),
        (
            "30-home.conf",
            "Type=home\nFormat=ext4\nLabel=homes\nCopyFiles=/home:/\nWeight=1000\nPaddingMinBytes=8M\n",
        ),
        (
            "40-swap.conf",
            "Type=swap\nSizeMinBytes=64M\nSizeMaxBytes=64M\nNoAuto=yes\n",
        ),
    ] {
        fs::write(folder.join(name), format!("[Partition]\n{text}")).unwrap();
    }
    folder
}

#[test]
fn a_disk_is_laid_out_as_a_dump_says() {
    need!("sfdisk", "e2fsck", "fsck.vfat", "blkid");
    let scratch = Scratch::new();
    // Neither aligned nor without gaps; 300 MiB of root with attributes, and a partition of each kind.
    let script = "label: gpt\nlabel-id: 11111111-2222-4333-8444-555555555555\n\
        start=2050, size=409600, type=U, name=boot, uuid=21111111-2222-4333-8444-555555555555\n\
        start=500000, size=614403, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=system, attrs=\"RequiredPartition,GUID:59\"\n\
        start=1200000, size=40000, type=S, name=pages\n\
        start=1300000, size=40000, type=933AC7E1-2EB4-4F13-B844-0E14E2AEF915, name=people\n\
        start=1400000, size=40000, type=L, name=spare\n";
    let (model, layout) = modelled(&scratch, script);
    let layout = layout.display().to_string();
    let folder = scratch.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "mine\n").unwrap();
    let people = format!("people:source={}", folder.display());
    let out = scratch.path("disk.raw");
    let args = ["--layout", &layout, "--partition", &people];
    let made = disk(&fake(&scratch), &out, &args);
    assert!(made.status.success(), "{made}");
    let plain = |path| {
        let mut dump = dump(path);
        dump["device"].take();
        for part in dump["partitions"].as_array_mut().unwrap() {
            part["node"].take();
        }
        dump.to_string()
    };
    // But for where the first partition may start, which is as low as it can be here.
    let (one, two) = (plain(&model), plain(&out));
    assert_eq!(
        one.replace("\"firstlba\":2048", "\"firstlba\":34"),
        two.replace("\"firstlba\":2048", "\"firstlba\":34")
    );
    assert_eq!(fs::metadata(&out).unwrap().len(), 1 << 30);
    for (name, file) in [
        ("boot", "boot"),
        ("system", "system"),
        ("pages", "pages"),
        ("people", "people"),
    ] {
        partition(&out, name, &scratch.path(file));
    }
    Run::new("fsck.vfat")
        .arg("-n")
        .arg(scratch.path("boot"))
        .ok();
    assert_clean(&scratch.path("system"));
    assert_clean(&scratch.path("people"));
    let swap = Run::new("blkid").arg("-p").arg(scratch.path("pages")).ok();
    assert!(swap.text().contains("TYPE=\"swap\""), "{swap}");
    assert_eq!(cat(&out, "people:/file"), b"mine\n");
    assert!(!cat(&out, "boot:/loader/loader.conf").is_empty());
}

#[test]
fn a_disk_is_laid_out_as_definitions_say() {
    need!("sfdisk", "sgdisk", "e2fsck", "fsck.vfat");
    let scratch = Scratch::new();
    let folder = definitions(&scratch);
    let layout = folder.display().to_string();
    let tar = fake(&scratch);
    let out = scratch.path("disk.raw");
    for sized in [false, true] {
        let size = if sized { &["--size", "1G"][..] } else { &[] };
        let made = disk(&tar, &out, &[&["--layout", &layout], size].concat());
        assert!(made.status.success(), "{made}");
        let judged = Run::new("sgdisk").arg("-v").arg(&out).ok();
        assert!(judged.text().contains("No problems found"), "{judged}");
        let dump = dump(&out);
        let part = |index: usize, key: &str| dump["partitions"][index][key].clone();
        let mib = |index| part(index, "size").as_u64().unwrap() / 2048;
        assert_eq!(
            (part(1, "name"), part(2, "name")),
            ("system".into(), "homes".into())
        );
        assert_eq!((mib(0), mib(3)), (300, 64));
        assert_eq!(
            (part(1, "attrs"), part(3, "attrs")),
            ("GUID:59".into(), "GUID:63".into())
        );
        let gap = part(3, "start").as_u64().unwrap()
            - part(2, "start").as_u64().unwrap()
            - part(2, "size").as_u64().unwrap();
        assert_eq!(gap, 8 * 2048);
        if sized {
            // By weight: three quarters and one quarter of what is left.
            let rest = 1024 - 2 - 300 - 64 - 8;
            assert_eq!((mib(1), mib(2)), (rest * 3 / 4, rest / 4));
        }
        for name in ["system", "homes"] {
            let file = scratch.path(name);
            partition(&out, name, &file);
            assert_clean(&file);
            let len = fs::metadata(&file).unwrap().len();
            assert_eq!(len, mib(if name == "system" { 1 } else { 2 }) << 20);
        }
        partition(&out, "esp", &scratch.path("esp"));
        Run::new("fsck.vfat")
            .arg("-n")
            .arg(scratch.path("esp"))
            .ok();
        // What home has of its own is not in the root any more.
        assert_eq!(cat(&out, "homes:/me"), b"my own\n");
        let listed = forger_tests::forger::forger().arg("find");
        let listed = listed.arg(format!("{}#system", out.display())).ok().text();
        let has = |path: &str| listed.lines().any(|line| line == path);
        assert!(has("/home") && !has("/home/me") && has("/efi"), "{listed}");
        fs::remove_file(&out).unwrap();
    }
}

#[test]
fn definitions_are_merged_and_given_up_and_what_changes_nothing_is_said() {
    let scratch = Scratch::new();
    let folder = scratch.path("repart.d");
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in [
        (
            "00-esp.conf",
            "Type=esp\nSizeMinBytes=100M\nSizeMaxBytes=100M\n",
        ),
        (
            "05-more.conf",
            "Type=xbootldr\nSupplementFor=00-esp\nSizeMinBytes=130M\nMakeDirectories=/extra\n",
        ),
        ("10-root.conf", "Type=root\nFactoryReset=no\n"),
        (
            "20-home.conf",
            "Type=home\nCopyFiles=/home:/\nPriority=10\nSizeMinBytes=200M\n",
        ),
    ] {
        fs::write(folder.join(name), format!("[Partition]\n{text}")).unwrap();
    }
    let layout = folder.display().to_string();
    let tar = fake(&scratch);
    for (size, given_up) in [("600M", false), ("300M", true)] {
        let out = scratch.path("disk.raw");
        let made = disk(&tar, &out, &["--layout", &layout, "--size", size]);
        assert!(made.status.success(), "{made}");
        let said = made.errors();
        assert!(
            said.contains("10-root.conf:3: FactoryReset= changes nothing"),
            "{said}"
        );
        assert_eq!(
            said.contains("20-home.conf: there is no room"),
            given_up,
            "{said}"
        );
        let dump = dump(&out);
        let parts = dump["partitions"].as_array().unwrap();
        assert_eq!(parts.len(), if given_up { 2 } else { 3 });
        assert_eq!(parts[0]["size"].as_u64().unwrap() / 2048, 130);
        let listed = forger_tests::forger::forger().arg("ls");
        let listed = listed.arg(format!("{}#esp", out.display())).ok().text();
        assert!(listed.lines().any(|line| line == "extra"), "{listed}");
        // Whose partition there is not, stays where it was.
        let whole = forger_tests::forger::forger().arg("find");
        let whole = whole.arg(format!("{}#root", out.display())).ok().text();
        assert_eq!(
            whole.lines().any(|line| line == "/home/me"),
            given_up,
            "{whole}"
        );
        fs::remove_file(&out).unwrap();
    }
}

#[test]
fn definitions_with_a_hash_tree_verify() {
    need!("veritysetup", "sfdisk");
    let scratch = Scratch::new();
    let folder = scratch.path("repart.d");
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in [
        ("1.conf", "Type=esp\nMakeDirectories=/extra/folder\n"),
        (
            "2.conf",
            "Type=root\nMinimize=best\nVerity=data\nVerityMatchKey=r\nReadOnly=yes\n",
        ),
        (
            "3.conf",
            "Type=root-verity\nVerity=hash\nVerityMatchKey=r\n",
        ),
    ] {
        fs::write(folder.join(name), format!("[Partition]\n{text}")).unwrap();
    }
    let layout = folder.display().to_string();
    let out = scratch.path("disk.raw");
    let args = ["--layout", &layout, "--output", "json", "--size", "2G"];
    let made = disk(&fake(&scratch), &out, &args);
    assert!(made.status.success(), "{made}");
    let said: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let (root, tree) = (scratch.path("root"), scratch.path("tree"));
    partition(&out, "2", &root);
    partition(&out, "3", &tree);
    let verify = Run::new("veritysetup").arg("verify").arg(&root).arg(&tree);
    verify.arg(said["root_hash"].as_str().unwrap()).ok();
    let listed = forger_tests::forger::forger().arg("ls");
    listed
        .arg(format!("{}#esp:/extra/folder", out.display()))
        .ok();
}

#[test]
fn what_a_layout_says_and_is_not_known_is_refused_with_its_place() {
    let scratch = Scratch::new();
    let tar = fake(&scratch);
    let out = scratch.path("disk.raw");
    let layout = |name: &str, text: &str| {
        let folder = scratch.path(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("10-root.conf"), text).unwrap();
        folder.display().to_string()
    };
    let unknown = layout("one", "[Partition]\nType=root\nFancy=1\n");
    let missing = layout("two", "[Partition]\nType=root\nCopyFiles=/none\n");
    let rootless = layout("three", "[Partition]\nType=home\n");
    let small = layout("four", "[Partition]\nType=root\nSizeMinBytes=2G\n");
    let json = scratch.file("bad.json", "{}").display().to_string();
    let empty = scratch.path("empty");
    fs::create_dir(&empty).unwrap();
    let empty = empty.display().to_string();
    for (args, said) in [
        (
            &["--layout", &unknown][..],
            "10-root.conf:3: Fancy= is not known",
        ),
        (&["--layout", &missing], "CopyFiles=/none: there is none"),
        (
            &["--layout", &rootless, "--boot", "none"],
            "0 root partitions",
        ),
        (&["--layout", &small, "--size", "1G"], "is enough"),
        (&["--layout", &json], "partitiontable"),
        (&["--layout", &empty], "no files *.conf"),
        (&["--layout", "/none/such"], "/none/such"),
    ] {
        let refused = disk(&tar, &out, args);
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        assert!(refused.errors().contains(said), "{said}: {refused}");
        assert!(!out.exists());
    }
}
