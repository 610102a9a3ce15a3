//! Bundles: made, taken apart by other tools, verified, refused.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use forger_tests::forger::forger;
use forger_tests::judge::{self, assert_clean};
use forger_tests::process::{Output, Run};
use forger_tests::scratch::Scratch;
use forger_tests::{need, rootfs, sample, workspace};

/// Makes a bundle of the sample that comes through a pipe; returns its path and what was printed.
fn make(scratch: &Scratch, args: &[&str]) -> (PathBuf, Output) {
    let bundle = scratch.path("sample.tar.zst");
    let run = forger().args([
        "make-bundle",
        "--name",
        "sample",
        "--arch",
        "x86_64",
        "--out",
    ]);
    let output = run.arg(&bundle).args(args).stdin(sample::rootfs()).ok();
    (bundle, output)
}

fn sha256(path: &Path) -> String {
    let text = Run::new("sha256sum").arg(path).ok().text();
    text[..64].to_owned()
}

fn blake3(path: &Path) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs::File::open(path).unwrap()).unwrap();
    hasher.finalize().to_hex().to_string()
}

/// Returns the bundle's manifest, as `zstd` and GNU tar take it out.
fn manifest(scratch: &Scratch, bundle: &Path) -> Value {
    let tar = unpacked(scratch, bundle);
    let run = Run::new("tar")
        .args(["--extract", "--to-stdout", "--file"])
        .arg(tar);
    serde_json::from_slice(&run.arg("manifest.json").ok().stdout).unwrap()
}

/// Returns the bundle without its compression, as `zstd` unpacks it.
fn unpacked(scratch: &Scratch, bundle: &Path) -> PathBuf {
    let tar = scratch.path("bundle.tar");
    let run = Run::new("zstd")
        .args(["--decompress", "--force", "--quiet", "-o"])
        .arg(&tar);
    run.arg("--").arg(bundle).limit(300).ok();
    tar
}

#[test]
fn bundle_holds_the_image_of_mkfs_then_the_manifest_and_nothing_else() {
    need!("zstd", "tar", "cmp", "e2fsck");
    let scratch = Scratch::new();
    let (bundle, _) = make(&scratch, &["--label", "root"]);
    let tar = unpacked(&scratch, &bundle);
    let list = Run::new("tar")
        .args(["--list", "--file"])
        .arg(&tar)
        .ok()
        .text();
    assert_eq!(list, "rootfs.ext4\nmanifest.json\n");
    Run::new("tar")
        .args(["--extract", "--sparse", "--file"])
        .arg(&tar)
        .dir(scratch.root())
        .ok();
    let image = scratch.path("rootfs.ext4");
    assert_clean(&image);
    let archive = scratch.file("sample.tar", sample::rootfs());
    let made = scratch.mkfs(&archive, "made.ext4", &["--label", "root"]);
    Run::new("cmp").arg(&image).arg(&made).ok();
}

#[test]
fn manifest_says_what_was_asked_and_what_the_image_is() {
    need!("zstd", "tar", "dumpe2fs");
    let scratch = Scratch::new();
    let args = [
        "--distro",
        "debian",
        "--kernel-ref",
        "k/6.1",
        "--description",
        "a \"sample\"",
    ];
    let (bundle, _) = make(&scratch, &args);
    let manifest = manifest(&scratch, &bundle);
    for (field, value) in [
        ("name", "sample"),
        ("arch", "x86_64"),
        ("distro", "debian"),
        ("kernel_ref", "k/6.1"),
        ("description", "a \"sample\""),
    ] {
        assert_eq!(manifest[field], value, "{manifest}");
    }
    let image = scratch.path("extracted.ext4");
    forger()
        .args(["bundle", "extract"])
        .arg(&bundle)
        .arg("--out")
        .arg(&image)
        .ok();
    let text = manifest.to_string();
    let superblock = judge::superblock(&image);
    for fact in [
        blake3(&image),
        superblock["Filesystem UUID"].clone(),
        image.metadata().unwrap().len().to_string(),
    ] {
        assert!(text.contains(&fact), "{fact} is not in {text}");
    }
}

#[test]
fn what_make_bundle_prints_is_true() {
    need!("sha256sum");
    let scratch = Scratch::new();
    let (bundle, output) = make(&scratch, &[]);
    let (sum, size) = (
        sha256(&bundle),
        bundle.metadata().unwrap().len().to_string(),
    );
    for fact in [bundle.to_str().unwrap(), &sum, &size] {
        assert!(output.text().contains(fact), "{fact} is not in {output}");
    }
    let (_, output) = make(&scratch, &["--output", "json", "--force"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["sha256"], sum, "{json}");
    assert_eq!(json["size"].as_u64().unwrap().to_string(), size, "{json}");
    assert!(
        json.to_string().contains(bundle.to_str().unwrap()),
        "{json}"
    );
}

#[test]
fn readme_shows_what_is_printed_for_the_sample() {
    let scratch = Scratch::new();
    let sample = workspace().join("testdata/sample-rootfs.tar.zst");
    let run = forger()
        .arg("make-bundle")
        .arg(sample)
        .args(["--name", "sample"]);
    let run = run
        .args(["--arch", "x86_64", "--out", "."])
        .dir(scratch.root());
    let printed = run.ok().text();
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    assert!(
        readme.contains(&printed),
        "README.md does not show this:\n{printed}"
    );
}

#[test]
fn bundle_in_a_folder_is_named_after_its_digest() {
    need!("sha256sum");
    let scratch = Scratch::new();
    let run = forger().args(["make-bundle", "--rootfs-tar", "-", "--name", "deb"]);
    let run = run
        .args(["--arch", "aarch64", "--out", "."])
        .dir(scratch.root());
    run.stdin(sample::rootfs()).ok();
    let names = scratch.names(".");
    assert_eq!(names.len(), 1, "{names:?}");
    let sum = sha256(&scratch.path(&names[0]));
    assert_eq!(names[0], format!("deb-aarch64-{}.tar.zst", &sum[..12]));
}

#[test]
fn extracted_image_has_its_holes_back() {
    let scratch = Scratch::new();
    let (bundle, _) = make(&scratch, &["--size", "2G"]);
    let image = scratch.path("out.ext4");
    forger()
        .args(["bundle", "extract"])
        .arg(&bundle)
        .arg("--out")
        .arg(&image)
        .ok();
    let meta = image.metadata().unwrap();
    assert_eq!(meta.len(), 2 << 30);
    assert!(
        meta.blocks() * 512 < 100 << 20,
        "{} bytes on the disk",
        meta.blocks() * 512
    );
}

#[test]
fn whole_bundle_verifies_and_one_with_another_digest_does_not() {
    need!("sha256sum");
    let scratch = Scratch::new();
    let (bundle, _) = make(&scratch, &[]);
    let verify = |sum: &str| {
        forger()
            .args(["bundle", "verify"])
            .arg(&bundle)
            .args(["--sha256", sum])
            .output()
    };
    let right = verify(&sha256(&bundle));
    assert!(right.status.success(), "{right}");
    let wrong = verify(&"0".repeat(64));
    assert_eq!(wrong.status.code(), Some(1), "{wrong}");
    let image = scratch.path("out.ext4");
    let run = forger()
        .args(["bundle", "extract"])
        .arg(&bundle)
        .arg("--out")
        .arg(&image);
    let extract = run.args(["--sha256", &"0".repeat(64)]).output();
    assert_eq!(extract.status.code(), Some(1), "{extract}");
    assert_eq!(scratch.names("."), ["sample.tar.zst"]);
}

#[test]
fn show_tells_the_manifest() {
    let scratch = Scratch::new();
    let (bundle, _) = make(&scratch, &["--distro", "debian"]);
    let show = forger()
        .args(["bundle", "show", "--output", "json"])
        .arg(&bundle)
        .ok();
    let text = show.text();
    let json: Value = serde_json::from_str(&text).unwrap();
    assert!(text.contains("debian") && text.contains("sample"), "{json}");
}

/// Packs files with GNU tar and zstd into something that looks like a bundle.
fn forged(scratch: &Scratch, name: &str, members: &[&str]) -> PathBuf {
    let tar = scratch.path("forged.tar");
    let run = Run::new("tar")
        .args(["--create", "--format=pax", "--file"])
        .arg(&tar);
    run.arg("--directory")
        .arg(scratch.path("parts"))
        .args(members)
        .ok();
    let bundle = scratch.path(name);
    Run::new("zstd")
        .args(["--force", "--quiet", "-o"])
        .arg(&bundle)
        .arg(&tar)
        .ok();
    bundle
}

#[test]
fn bundles_with_anything_else_in_them_are_refused() {
    need!("zstd", "tar");
    let scratch = Scratch::new();
    let (bundle, _) = make(&scratch, &[]);
    let parts = scratch.path("parts");
    fs::create_dir(&parts).unwrap();
    let tar = unpacked(&scratch, &bundle);
    Run::new("tar")
        .args(["--extract", "--file"])
        .arg(&tar)
        .dir(&parts)
        .ok();
    let _ = scratch.file("parts/extra", "one too many");
    std::os::unix::fs::symlink("/etc/passwd", parts.join("link")).unwrap();
    let whole = ["rootfs.ext4", "manifest.json"];
    let good = forged(&scratch, "good.tar.zst", &whole);
    forger().args(["bundle", "verify"]).arg(&good).ok();
    let cases: [(&str, &[&str]); 7] = [
        ("a third member", &["rootfs.ext4", "manifest.json", "extra"]),
        ("a first member", &["extra", "rootfs.ext4", "manifest.json"]),
        ("a symlink", &["rootfs.ext4", "link"]),
        ("no manifest", &["rootfs.ext4"]),
        ("no image", &["manifest.json"]),
        ("the wrong order", &["manifest.json", "rootfs.ext4"]),
        (
            "one twice",
            &["rootfs.ext4", "rootfs.ext4", "manifest.json"],
        ),
    ];
    for (title, members) in cases {
        let bad = forged(&scratch, "bad.tar.zst", members);
        let out = scratch.path("out.ext4");
        for run in [
            forger().args(["bundle", "verify"]).arg(&bad),
            forger()
                .args(["bundle", "extract"])
                .arg(&bad)
                .arg("--out")
                .arg(&out),
        ] {
            let output = run.output();
            assert_eq!(output.status.code(), Some(1), "{title}: {output}");
            assert!(!out.exists(), "{title}: {output}");
        }
    }
}

#[test]
fn damaged_bundles_are_refused_and_nothing_is_published() {
    let scratch = Scratch::new();
    let (bundle, _) = make(&scratch, &[]);
    let whole = fs::read(&bundle).unwrap();
    let bad = scratch.path("bad.tar.zst");
    let out = scratch.path("out.ext4");
    let assert_refused = |bytes: &[u8], title: &str| {
        fs::write(&bad, bytes).unwrap();
        let run = forger()
            .args(["bundle", "extract"])
            .arg(&bad)
            .arg("--out")
            .arg(&out);
        let output = run.output();
        assert_eq!(output.status.code(), Some(1), "{title}: {output}");
        assert!(!output.errors().contains("panicked"), "{title}: {output}");
        assert!(!out.exists(), "{title}");
    };
    for cut in [0, 1, 100, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        assert_refused(&whole[..cut], &format!("cut at {cut}"));
    }
    assert_refused(&sample::rootfs(), "an archive that is no bundle");
    // The checksum of the manifest's image catches what zstd's own does not.
    let step = whole.len() / 40;
    for at in (step..whole.len() - 1).step_by(step) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&bad, &damaged).unwrap();
        let run = forger()
            .args(["bundle", "extract"])
            .arg(&bad)
            .arg("--out")
            .arg(&out);
        let output = run.output();
        assert!(!output.errors().contains("panicked"), "byte {at}: {output}");
        if output.status.success() {
            // A byte that no reader looks at: the image is whole nevertheless.
            assert_eq!(
                blake3(&out),
                manifest_digest(&scratch, &bundle),
                "byte {at}"
            );
            fs::remove_file(&out).unwrap();
        }
        assert!(!out.exists(), "byte {at}: {output}");
    }
}

fn manifest_digest(scratch: &Scratch, bundle: &Path) -> String {
    let image = scratch.path("whole.ext4");
    forger()
        .args(["bundle", "extract", "--force"])
        .arg(bundle)
        .arg("--out")
        .arg(&image)
        .ok();
    blake3(&image)
}

#[test]
fn image_of_100_gib_costs_little_more_than_zstd_must_spend_on_zeros() {
    let scratch = Scratch::new();
    let (bundle, _) = make(&scratch, &[]);
    let auto = bundle.metadata().unwrap().len();
    let (bundle, _) = make(&scratch, &["--size", "100G", "--force"]);
    let large = bundle.metadata().unwrap().len();
    // A block of a zstd frame holds at most 128 KiB and takes at least 4 bytes.
    let zeros = (100 << 30) / (128 << 10) * 4;
    let more = large - auto;
    assert!(
        more <= zeros + 300_000,
        "{more} bytes more than with --size auto"
    );
    forger()
        .args(["bundle", "verify"])
        .arg(&bundle)
        .limit(600)
        .ok();
}

#[test]
fn other_tools_read_a_bundle_whose_image_is_beyond_8_gib() {
    need!("bash", "zstd", "tar");
    let scratch = Scratch::new();
    let (bundle, _) = make(&scratch, &["--size", "9G"]);
    // Too large for a ustar header's size: it stands in a PAX record.
    let script = "zstd -dc -- \"$0\" | tar --list --verbose --file -";
    let list = Run::new("bash")
        .args(["-c", script])
        .arg(&bundle)
        .limit(300)
        .ok()
        .text();
    assert!(
        list.contains(" 9663676416 ") && list.contains("manifest.json"),
        "{list}"
    );
}

#[test]
fn bundle_of_minbase_from_file_and_pipe_is_the_same_and_verifies() {
    need!("cmp");
    let Some(tar) = rootfs::minbase() else { return };
    let scratch = Scratch::new();
    let make = |name: &str| {
        let run = forger().args(["make-bundle", "--name", "deb", "--arch", "amd64", "--out"]);
        run.arg(scratch.path(name))
    };
    make("file.tar.zst").arg(&tar).limit(300).ok();
    make("pipe.tar.zst").stdin_piped(&tar).limit(300).ok();
    Run::new("cmp")
        .arg(scratch.path("file.tar.zst"))
        .arg(scratch.path("pipe.tar.zst"))
        .ok();
    forger()
        .args(["bundle", "verify"])
        .arg(scratch.path("pipe.tar.zst"))
        .ok();
}

#[test]
fn existing_bundle_is_replaced_only_with_force() {
    let scratch = Scratch::new();
    let (bundle, _) = make(&scratch, &[]);
    fs::write(&bundle, "precious").unwrap();
    let run = forger()
        .args(["make-bundle", "--name", "n", "--arch", "a", "--out"])
        .arg(&bundle);
    let output = run.stdin(sample::rootfs()).output();
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert_eq!(fs::read(&bundle).unwrap(), b"precious");
}
