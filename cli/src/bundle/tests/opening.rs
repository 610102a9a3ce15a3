//! Bundles of all makings, and what is refused.

use std::io::{self, Read};
use std::iter;
use std::process::Command;

use bytes::Bytes;
use forger_fs::observe::{Observer, Silent};

use super::super::make::{Image, Shape, assemble};
use super::super::*;
use super::{Kept, Memory, judge};

const MIB: usize = 1 << 20;

/// A bundle with data, a long hole, a short one, and late ranges; and its image.
fn bundle() -> (Made<()>, Vec<u8>, Vec<u8>) {
    let mut image = vec![0; 3 * MIB];
    for (start, byte) in [
        (0, 1),
        (40_960, 2),
        (200_000, 3),
        (2 * MIB, 4),
        (2 * MIB + 70_000, 5),
    ] {
        image[start..start + 5000].fill(byte);
    }
    let file = Memory::default();
    let options = Options {
        threads: 2,
        description: Some("for tests".to_owned()),
        ..Options::new("n", "d", "a")
    };
    let late = [0..8192, MIB as u64..(MIB + 8192) as u64].to_vec();
    let shape = Shape {
        window: 64 << 10,
        late,
        late_room: 300,
    };
    let made = assemble(&options, shape, &file, &mut Silent, |sink, _| {
        for start in [(8192..3 * MIB).step_by(4096), (0..8192).step_by(4096)]
            .into_iter()
            .flatten()
        {
            let part = &image[start..start + 4096];
            if !(MIB..MIB + 8192).contains(&start) && !forger_block::is_zero(part) {
                sink.write_at(start as u64, Bytes::copy_from_slice(part))?;
            }
        }
        Ok(Image {
            size: image.len() as u64,
            time: -5,
            uuid: [1; 16],
            label: Some(b"root".to_vec()),
            summary: (),
        })
    });
    (made.expect("legal calls"), file.take(), image)
}

/// A ustar member.
fn tar_member(name: &str, kind: u8, size: u64, body: &[u8]) -> Vec<u8> {
    let mut out = member::header(name, size, 0);
    out[156] = kind;
    out[148..156].fill(b' ');
    let sum: u32 = out[..512].iter().copied().map(u32::from).sum();
    out[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.extend_from_slice(body);
    member::pad(&mut out);
    out
}

fn file(name: &str, body: &[u8]) -> Vec<u8> {
    tar_member(name, b'0', body.len() as u64, body)
}

const END: [u8; 1024] = [0; 1024];
const OLD_MANIFEST: &[u8] = br#"{"name":"a","distro":"b","arch":"c"}"#;

fn packed(parts: &[&[u8]]) -> Vec<u8> {
    zstd::encode_all(&parts.concat()[..], 3).expect("encoded")
}

fn opened(bundle: &[u8]) -> Result<Facts, OpenError> {
    verify(bundle, None, &mut Silent)
}

/// Returns why a tar stream is refused.
fn refusal(parts: &[&[u8]]) -> String {
    opened(&packed(parts))
        .expect_err("not a bundle")
        .to_string()
}

#[test]
fn an_extracted_image_has_its_holes() {
    let (made, bundle, image) = bundle();
    let mut kept = Kept::default();
    let facts = extract(&bundle[..], Some(made.sha256), &mut kept, &mut Silent).expect("a bundle");
    assert!(kept.bytes == image);
    assert_eq!(kept.holes[..2], [49_152..196_608, 208_896..2 * MIB as u64]);
    for hole in &kept.holes {
        assert!(
            hole.start.is_multiple_of(4096) && hole.end - hole.start >= 64 << 10,
            "{hole:?}"
        );
    }
    assert_eq!(facts.image_size, image.len() as u64);
    assert_eq!(facts.manifest, made.manifest);
    assert_eq!(
        (facts.size, facts.sha256),
        (bundle.len() as u64, made.sha256)
    );
    let shown = show(&bundle[..], &mut Silent).expect("a bundle");
    assert_eq!(
        shown,
        Facts {
            blake3: None,
            ..facts
        }
    );
}

#[test]
fn a_bundle_cut_at_any_byte_is_refused() {
    let (_, bundle, _) = bundle();
    for len in 0..bundle.len() {
        match opened(&bundle[..len]) {
            Err(OpenError::TruncatedFrame { offset }) => assert_eq!(offset, len as u64),
            Err(OpenError::Truncated { .. }) => {}
            other => panic!("cut at {len}: {other:?}"),
        }
    }
}

#[test]
fn a_changed_byte_is_found_or_changes_nothing() {
    let (made, bundle, image) = bundle();
    for at in (0..bundle.len()).step_by(3) {
        let mut changed = bundle.clone();
        changed[at] ^= 0x10;
        let error = verify(&changed[..], Some(made.sha256), &mut Silent);
        assert!(error.is_err(), "byte {at}");
        // Without a digest to expect, fillers and the members' owners may differ.
        let mut kept = Kept::default();
        if extract(&changed[..], None, &mut kept, &mut Silent).is_ok() {
            assert!(kept.bytes == image, "byte {at}");
        }
    }
}

#[test]
fn a_reader_that_fails_is_reported_with_the_place() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let (_, bundle, _) = bundle();
    let error = verify(bundle[..100].chain(Failing), None, &mut Silent).expect_err("gone");
    assert!(
        matches!(error, OpenError::Read { offset: 100, .. }),
        "{error:?}"
    );
}

#[test]
fn a_cancelled_observer_stops_it() {
    struct Stop;
    impl Observer for Stop {
        fn cancelled(&mut self) -> bool {
            true
        }
    }
    let (_, bundle, _) = bundle();
    assert!(matches!(
        verify(&bundle[..], None, &mut Stop),
        Err(OpenError::Interrupted)
    ));
}

#[test]
fn digests_that_differ_are_named() {
    let (made, bundle, _) = bundle();
    let mut other = made.sha256;
    other[0] ^= 1;
    let error = verify(&bundle[..], Some(other), &mut Silent).expect_err("another bundle");
    assert!(error.to_string().contains(&made.sha256_hex()), "{error}");

    let manifest = serde_json::to_vec(&Manifest {
        image_size: Some(4),
        ..made.manifest
    });
    let manifest = file("manifest.json", &manifest.expect("json"));
    let image = file("rootfs.ext4", b"ext4");
    let error = opened(&packed(&[&image, &manifest, &END])).expect_err("another image");
    let found = blake3::hash(b"ext4").to_hex();
    assert!(error.to_string().contains(found.as_str()), "{error}");
}

#[test]
fn manifests_that_lie_or_come_from_later_are_refused() {
    let image = file("rootfs.ext4", b"ext4");
    let refusal = |json: &str| refusal(&[&image, &file("manifest.json", json.as_bytes()), &END]);
    let later = r#"{"name":"a","format_version":2}"#;
    assert!(refusal(later).starts_with("manifest.json: format_version: 2 is later than 1"));
    let size = r#"{"name":"a","image_size":5}"#;
    assert_eq!(
        refusal(size),
        "manifest.json: image_size: 5, but the image has 4 bytes"
    );
    let missing = r#"{"name":"a","format_version":1}"#;
    assert_eq!(refusal(missing), "manifest.json: image_size: missing");
    let missing = r#"{"name":"a","format_version":1,"image_size":4}"#;
    assert_eq!(refusal(missing), "manifest.json: blake3: missing");
    for json in ["", "{}", "[1]", "{\"name\":1}", r#"{"name":"a"} x"#] {
        assert_eq!(
            refusal(json),
            "manifest.json cannot be understood",
            "{json}"
        );
    }
    let deep = format!(r#"{{"name":"a","x":{}"#, "[".repeat(100_000));
    assert_eq!(refusal(&deep), "manifest.json cannot be understood");
}

#[test]
fn a_huge_manifest_is_refused_before_it_is_read() {
    let manifest = tar_member("manifest.json", b'0', (1 << 20) + 1, b"");
    let image = file("rootfs.ext4", b"ext4");
    let expected = "manifest.json of 1048577 bytes is larger than the limit of 1048576 bytes";
    assert_eq!(refusal(&[&image, &manifest]), expected);
}

#[test]
fn an_image_larger_than_ext4_can_be_is_refused() {
    let image = member::header("rootfs.ext4", (16 << 40) + 1, 0);
    assert!(refusal(&[&image]).starts_with("rootfs.ext4 of 17592186044417 bytes is larger"));
}

#[test]
fn other_members_are_refused() {
    let image = file("rootfs.ext4", b"ext4");
    let manifest = file("manifest.json", OLD_MANIFEST);
    let is = |parts: &[&[u8]], reason: &str| {
        let found = refusal(parts);
        assert!(
            found.ends_with(reason),
            "{found:?} does not end with {reason:?}"
        );
    };
    is(&[&END], "the archive ends; \"rootfs.ext4\" is missing");
    is(
        &[&image, &END],
        "the archive ends; \"manifest.json\" is missing",
    );
    is(
        &[&manifest, &image, &END],
        "\"manifest.json\" is a file; the regular file \"rootfs.ext4\" has to come here",
    );
    is(
        &[&image, &image, &manifest, &END],
        "\"manifest.json\" has to come here",
    );
    is(
        &[&image, &manifest, &file("more", b""), &END],
        "a further member \"more\"; a bundle holds two",
    );
    for name in [
        "/rootfs.ext4",
        "../rootfs.ext4",
        "a/rootfs.ext4",
        "rootfs.ext4/",
        "././rootfs.ext4",
    ] {
        is(&[&file(name, b"ext4"), &manifest, &END], "has to come here");
    }
    for (kind, called) in [
        (b'1', "a hard link"),
        (b'2', "a symbolic link"),
        (b'5', "a directory"),
        (b'S', "a sparse file"),
        (b'L', "a long name"),
        (b'Z', "a member of an unknown type"),
    ] {
        let other = tar_member("rootfs.ext4", kind, 0, b"");
        is(
            &[&other, &manifest, &END],
            &format!(
                "\"rootfs.ext4\" is {called}; the regular file \"rootfs.ext4\" has to come here"
            ),
        );
    }
}

#[test]
fn what_follows_the_end_must_be_zeros_and_few() {
    let image = file("rootfs.ext4", b"ext4");
    let manifest = file("manifest.json", OLD_MANIFEST);
    let whole = [&image[..], &manifest, &END].concat();
    assert!(opened(&packed(&[&whole, &[0; 9 << 10]])).is_ok());
    assert!(refusal(&[&whole, &[0; 5000], b"x"]).ends_with("data after the end of the archive"));
    assert!(refusal(&[&whole, &vec![0; 17 << 20]]).ends_with("data after the end of the archive"));
    let mut bundle = packed(&[&whole]);
    hole::push_hole(&mut bundle, 20 << 30);
    assert!(matches!(opened(&bundle), Err(OpenError::Member { .. })));
    let mut bundle = packed(&[&whole]);
    bundle.extend_from_slice(b"trailing");
    assert!(matches!(opened(&bundle), Err(OpenError::Zstd { .. })));
    // One block of zeros is half an end.
    let half = [&image[..], &manifest, &END[..512]].concat();
    assert!(matches!(
        opened(&packed(&[&half])),
        Err(OpenError::Truncated { .. })
    ));
    assert!(refusal(&[&half, &image]).contains("a further member"));
    let padding = [
        &member::header("rootfs.ext4", 4, 0)[..],
        b"ext4",
        &[7; 508],
        &manifest,
        &END,
    ];
    assert!(refusal(&padding).ends_with("rootfs.ext4 is followed by something other than zeros"));
}

#[test]
fn pax_records_may_name_and_size_a_member_and_nothing_else() {
    let manifest = file("manifest.json", OLD_MANIFEST);
    let pax = |records: &str| tar_member("x", b'x', records.len() as u64, records.as_bytes());
    let records = "10 size=4\n20 path=rootfs.ext4\n24 SCHILY.xattr.user.a=\n";
    let image = [&pax(records)[..], &tar_member("cut off", b'0', 0, b"ext4")].concat();
    let facts = opened(&packed(&[&image, &manifest, &END])).expect("a bundle");
    assert_eq!(
        (facts.image_size, facts.blake3),
        (4, Some(*blake3::hash(b"ext4").as_bytes()))
    );

    let sparse = [
        &pax("22 GNU.sparse.major=1\n")[..],
        &file("rootfs.ext4", b"ext4"),
    ]
    .concat();
    assert!(refusal(&[&sparse, &manifest, &END]).contains("GNU.sparse.major"));
    let many: Vec<u8> = iter::repeat_n(pax("10 size=4\n"), 20).flatten().collect();
    assert!(refusal(&[&many, &image, &manifest, &END]).ends_with("too many PAX headers"));
    let huge = tar_member("x", b'x', 1 << 20, b"");
    assert!(refusal(&[&huge]).starts_with("a PAX header of 1048576 bytes is larger"));
    let global = tar_member("g", b'g', 10, b"10 size=4\n");
    assert!(refusal(&[&global, &image]).ends_with("global PAX records of a name or size"));
}

#[test]
fn what_is_no_bundle_at_all_is_refused() {
    assert!(matches!(
        opened(b""),
        Err(OpenError::Truncated { offset: 0, .. })
    ));
    assert!(matches!(opened(&END), Err(OpenError::Zstd { .. })));
    assert!(refusal(&[&[b'x'; 600]]).ends_with("no tar header: its checksum does not match"));
}

#[test]
fn a_hundred_gibibytes_of_hole_are_verified_at_once() {
    let file = Memory::default();
    let shape = Shape {
        window: 4 << 20,
        late: Vec::new(),
        late_room: 0,
    };
    let made = assemble(
        &Options::new("n", "d", "a"),
        shape,
        &file,
        &mut Silent,
        |sink, _| {
            sink.write_at(5 << 20, Bytes::from(vec![1; 4096]))?;
            Ok(Image {
                size: 100 << 30,
                time: 0,
                uuid: [0; 16],
                label: None,
                summary: (),
            })
        },
    );
    let sha256 = made.expect("legal calls").sha256;
    let facts = verify(&file.take()[..], Some(sha256), &mut Silent).expect("a bundle");
    assert_eq!(facts.image_size, 100 << 30);
}

#[test]
fn bundles_of_gnu_tar_and_zstd_are_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let image: Vec<u8> = (0..300_000_u32)
        .flat_map(u32::to_le_bytes)
        .chain([0; 100_000])
        .collect();
    std::fs::write(folder.path().join("rootfs.ext4"), &image).expect("written");
    std::fs::write(folder.path().join("manifest.json"), OLD_MANIFEST).expect("written");
    for (format, first) in [
        ("v7", "rootfs.ext4"),
        ("ustar", "rootfs.ext4"),
        ("gnu", "./rootfs.ext4"),
        ("posix", "./rootfs.ext4"),
    ] {
        let tar = Command::new("tar")
            .args([
                "-cf",
                "bundle.tar",
                &format!("--format={format}"),
                first,
                "manifest.json",
            ])
            .current_dir(folder.path())
            .status();
        if !tar.is_ok_and(|status| status.success()) {
            assert!(std::env::var_os("REQUIRE_TOOLS").is_none_or(|value| value != "1"));
            eprintln!("skipped: tar cannot be run");
            return;
        }
        let tar = folder.path().join("bundle.tar");
        for level in ["-1", "-19"] {
            let Some(bundle) = judge("zstd", &["-c", level], &tar) else {
                return;
            };
            let mut kept = Kept::default();
            let facts = extract(&bundle[..], None, &mut kept, &mut Silent).expect("a bundle");
            assert!(kept.bytes == image, "{format}");
            assert_eq!(kept.holes.len(), 1);
            assert_eq!(facts.manifest_json, OLD_MANIFEST);
        }
    }
}
