//! Volumes against fsck.vfat and mtools, on both sides of every bound.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use forger_block::{BlockRead, SparseImage};

use super::*;
use crate::observe::Silent;
use crate::tree::{Content, Holes, Kind, Meta, Policy, Time, Tree};

fn tree(files: &[(&str, Vec<u8>)]) -> Tree<Content> {
    let mut tree = Tree::new(Meta {
        mode: 0o755,
        ..Meta::default()
    });
    let meta = |mode| Meta {
        mode,
        mtime: Some(Time::from_sec(1_700_000_000)),
        ..Meta::default()
    };
    tree.put(b"/", meta(0o755), Kind::directory(), Policy::default())
        .unwrap();
    for (name, content) in files {
        let parts: Vec<&str> = name.split('/').collect();
        for end in 1..parts.len() {
            let folder = parts[..end].join("/");
            if tree.get(folder.as_bytes()).is_none() {
                tree.put(
                    folder.as_bytes(),
                    meta(0o755),
                    Kind::directory(),
                    Policy::default(),
                )
                .unwrap();
            }
        }
        let kind = Kind::File(Content::inline(content.clone()));
        tree.put(name.as_bytes(), meta(0o644), kind, Policy::default())
            .unwrap();
    }
    tree
}

fn sample() -> Tree<Content> {
    let mut files = vec![
        ("EFI/BOOT/BOOTX64.EFI".to_owned(), vec![7; 70_001]),
        (
            "loader/entries/debian-6.1.0-18-cloud-amd64.conf".to_owned(),
            b"title x".to_vec(),
        ),
        ("meta-data".to_owned(), b"instance-id: 1\n".to_vec()),
        ("größe 𝄞.txt".to_owned(), b"x".to_vec()),
        ("empty".to_owned(), Vec::new()),
    ];
    for i in 0..700 {
        files.push((
            format!("many/file with a long name number {i}.txt"),
            vec![b'm'; i],
        ));
    }
    let files: Vec<(&str, Vec<u8>)> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()))
        .collect();
    tree(&files)
}

fn write(image: &SparseImage, path: &Path) {
    let file = fs::File::create(path).unwrap();
    file.set_len(image.len()).unwrap();
    let mut at = 0;
    while at < image.len() {
        let run = image.run_at(at).unwrap();
        if let forger_block::Run::Data(len) = run {
            let mut bytes = vec![0; usize::try_from(len).unwrap()];
            image.read_at(at, &mut bytes).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &bytes, at).unwrap();
        }
        at += run.len();
    }
}

/// Runs a judge; `None`, as a reported skip, where it is missing.
fn judge(program: &str, args: &[&str], image: &Path) -> Option<(bool, String)> {
    let path = format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    let output = Command::new(program)
        .args(args)
        .arg(image)
        .env("PATH", &path)
        .env("MTOOLS_SKIP_CHECK", "1")
        .output();
    match output {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Some((
                output.status.success(),
                String::from_utf8_lossy(&text).into_owned(),
            ))
        }
        Err(_) => {
            assert!(
                std::env::var_os("REQUIRE_TOOLS").is_none_or(|value| value != "1"),
                "no {program}"
            );
            eprintln!("skipped: no {program}");
            None
        }
    }
}

fn assert_clean(image: &SparseImage, what: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    write(image, &path);
    let Some((clean, text)) = judge("fsck.vfat", &["-n", "-v"], &path) else {
        return;
    };
    let complains = [
        "rong",
        "differ",
        "Dirty",
        "Reclaimed",
        "Bad",
        "bad",
        "Warning",
        "WARNING",
    ];
    assert!(
        clean && !complains.iter().any(|word| text.contains(word)),
        "{what}: {text}"
    );
}

fn planned(tree: &Tree<Content>, options: &Options) -> (SparseImage, Summary) {
    plan(tree, options, &mut Silent).unwrap()
}

fn of(bits: Bits, size: u64, sector: u32) -> Options {
    Options {
        bits: Some(bits),
        size: Size::Exact(size),
        sector_size: sector,
        label: Some("ESP TEST".into()),
        ..Options::default()
    }
}

#[test]
fn volumes_of_every_kind_are_clean_and_read_back() {
    let tree = sample();
    for (bits, size, sector) in [
        (Bits::Fat12, 4 << 20, 512),
        (Bits::Fat12, 8 << 20, 4096),
        (Bits::Fat16, 32 << 20, 512),
        (Bits::Fat16, 100 << 20, 4096),
        (Bits::Fat32, 64 << 20, 512),
        (Bits::Fat32, 260 << 20, 4096),
        (Bits::Fat32, 100 << 20, 512),
        (Bits::Fat32, 1 << 30, 512),
    ] {
        let options = of(bits, size, sector);
        let (image, summary) = planned(&tree, &options);
        assert_eq!((summary.geometry.bits, image.len()), (bits, size));
        assert_clean(&image, &format!("{bits} {size} {sector}"));
        let volume = Volume::open(Arc::new(image)).unwrap();
        assert_eq!(volume.label().as_deref(), Some("ESP TEST"));
        assert_eq!(volume.free_clusters().unwrap(), summary.free_clusters);
        let mut read = volume.tree().unwrap();
        for id in read.ids().collect::<Vec<_>>() {
            let meta = read.meta_mut(id);
            (meta.atime, meta.crtime) = (None, None);
        }
        read.meta_mut(read.root()).mtime = Some(Time::from_sec(1_700_000_000));
        let differences = tree.differences(&read, Holes::AsZeros).unwrap();
        assert!(differences.is_empty(), "{differences:?}");
    }
}

#[test]
fn sizes_around_every_bound_are_clean_or_refused() {
    let tree = tree(&[("a", vec![1; 5000])]);
    let mut made = 0;
    for (bits, sector, cluster, from, to) in [
        (Bits::Fat12, 512, 512, 4080, 4130),
        (Bits::Fat16, 512, 512, 4110, 4170),
        (Bits::Fat16, 512, 512, 66_000, 66_120),
        (Bits::Fat32, 512, 512, 66_560, 66_640),
        (Bits::Fat32, 4096, 4096, 65_680, 65_760),
    ] {
        for sectors in (from..to).step_by(7) {
            let mut options = of(bits, sectors * u64::from(sector), sector);
            options.cluster_size = Some(cluster);
            match plan(&tree, &options, &mut Silent) {
                Ok((image, summary)) => {
                    assert_eq!(summary.geometry.bits, bits);
                    assert_eq!(Bits::of_clusters(summary.geometry.clusters), bits);
                    assert_clean(&image, &format!("{bits}, {sectors} sectors of {sector}"));
                    made += 1;
                }
                Err(error) => assert!(matches!(error, Error::Geometry { .. }), "{error}"),
            }
        }
    }
    assert!(made > 20, "only {made}");
}

#[test]
fn auto_size_holds_the_content_and_the_free_space() {
    let tree = sample();
    for (bits, free) in [
        (None, 0),
        (None, 1 << 20),
        (None, 600 << 20),
        (Some(Bits::Fat32), 0),
    ] {
        let options = Options {
            size: Size::Auto { free },
            bits,
            ..Options::default()
        };
        let (image, summary) = planned(&tree, &options);
        assert!(u64::from(summary.free_clusters) * summary.geometry.cluster() >= free);
        assert_clean(&image, &format!("{bits:?} {free}"));
    }
}

#[test]
fn equal_input_gives_equal_bytes_and_other_input_another_id() {
    let bytes = |tree: &Tree<Content>| {
        let (image, summary) = planned(tree, &Options::default());
        let mut bytes = vec![0; usize::try_from(image.len()).unwrap()];
        image.read_at(0, &mut bytes).unwrap();
        (bytes, summary.volume_id)
    };
    let one = bytes(&tree(&[("a", b"x".to_vec())]));
    assert!(one == bytes(&tree(&[("a", b"x".to_vec())])));
    assert_ne!(one.1, bytes(&tree(&[("b", b"x".to_vec())])).1);
}

#[test]
fn what_fat_cannot_hold_is_refused_with_its_name() {
    let mut with_link = tree(&[("a", Vec::new())]);
    let link = Kind::Symlink((*b"a").into());
    with_link
        .put(b"d/link", Meta::default(), link, Policy::default())
        .unwrap();
    let error = plan(&with_link, &Options::default(), &mut Silent).unwrap_err();
    assert_eq!(
        error.to_string(),
        "d/link: a symlink, which a FAT cannot hold"
    );
    let ignore = Ignore {
        symlinks: true,
        ..Ignore::default()
    };
    let (image, _) = planned(
        &with_link,
        &Options {
            ignore,
            ..Options::default()
        },
    );
    assert_clean(&image, "without its link");

    let collision = tree(&[("d/Readme", Vec::new()), ("d/README", Vec::new())]);
    let error = plan(&collision, &Options::default(), &mut Silent).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Name {
                source: NameError::Collision { .. },
                ..
            }
        ),
        "{error}"
    );

    let small = Options {
        size: Size::Exact(1 << 20),
        ..Options::default()
    };
    let large = tree(&[("a", vec![1; 2 << 20])]);
    let error = plan(&large, &small, &mut Silent).unwrap_err();
    assert!(matches!(error, Error::TooSmall { .. }), "{error}");
}

#[test]
fn damaged_volumes_give_errors_and_never_panic() {
    let (image, _) = planned(&sample(), &of(Bits::Fat16, 16 << 20, 512));
    let mut bytes = vec![0; 1 << 20];
    image.read_at(0, &mut bytes).unwrap();
    bytes.resize(16 << 20, 0);
    let mut state = 1_u64;
    let mut below = |end: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % end
    };
    let mut refused = 0;
    for round in 0..600 {
        let mut damaged = bytes.clone();
        let end = if round % 2 == 0 { 512 } else { 1 << 17 };
        for _ in 0..1 + below(4) {
            let at = below(end);
            damaged[at] = u8::try_from(below(256)).unwrap();
        }
        let read =
            Volume::open(Arc::new(bytes::Bytes::from(damaged))).and_then(|volume| volume.tree());
        refused += u32::from(read.is_err());
    }
    assert!(refused > 50, "only {refused} were refused");
}
