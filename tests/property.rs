//! Whatever archive is generated: the image is clean and holds what GNU tar extracts, and both ways
//! to make it give the same bytes.

use forger_block::{BlockRead, Bytes, MemorySink, PlacedSink};
use forger_fs::ext4::{self, Layer, Options};
use forger_fs::observe::Silent;
use forger_fs::tar::Reader;
use forger_fs::tree::Time;
use forger_tests::archive::Archive;
use forger_tests::gnutar::Extracted;
use forger_tests::judge::assert_clean;
use forger_tests::mount::Mount;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::walk::Listing;
use forger_tests::{generated, need};
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

/// Recipes that are tried, each of up to so many bytes.
const CASES: u32 = 40;
const MAX_RECIPE: usize = 800;

/// The archives have no entry for the root: its metadata is nobody's.
const ROOT: [&str; 1] = [""];

/// The defaults, but a time that is no file's of the future: e2fsck would complain of that.
fn options() -> Options {
    Options {
        time: Some(Time::from_sec(1_700_000_000)),
        ..Options::default()
    }
}

/// Makes an image in one pass, as from a pipe.
fn written(archive: &[u8]) -> Bytes {
    let mut sink = Box::new(MemorySink::new());
    let output = sink.output();
    let mut reader = Reader::new(archive);
    let mut layers = [Layer {
        source: &mut reader,
        overlay: false,
    }];
    let summary = ext4::write(&mut layers, &options(), &mut *sink, &mut Silent).unwrap();
    sink.finish(summary.size).unwrap();
    output.bytes().unwrap()
}

/// Makes an image by plan and then reading it.
fn planned(archive: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(archive);
    let mut layers = [Layer {
        source: &mut reader,
        overlay: false,
    }];
    let (image, _) = ext4::plan(&mut layers, &options(), &mut Silent).unwrap();
    let mut bytes = vec![0; usize::try_from(image.len()).unwrap()];
    image.read_at(0, &mut bytes).unwrap();
    bytes
}

fn assert_right(archive: &[u8]) {
    let scratch = Scratch::new();
    let image = written(archive);
    assert!(
        image == planned(archive),
        "written and planned image differ"
    );
    let image = scratch.file("image.ext4", &image);
    assert_clean(&image);
    let tar = scratch.file("in.tar", archive);
    let extracted = Extracted::replacing(&tar, archive.len() as u64, 10_000);
    let mount = Mount::read_only(&image);
    Listing::of(mount.path(), &ROOT).assert_same(&extracted.listing(&ROOT));
}

#[test]
fn image_of_any_archive_is_clean_and_equals_what_gnu_tar_extracts() {
    need!("loop", "e2fsck", "mkfs.ext4", "tar");
    // The same recipes every time; with PROPTEST_CASES set, so many new ones.
    let config = |cases| Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = match std::env::var("PROPTEST_CASES") {
        Ok(cases) => TestRunner::new(config(cases.parse().unwrap())),
        Err(_) => {
            let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
            TestRunner::new_with_rng(config(CASES), rng)
        }
    };
    let recipes = proptest::collection::vec(any::<u8>(), 0..MAX_RECIPE);
    let archive = |recipe: &[u8]| {
        let mut archive = Archive::new();
        archive.extend(&generated::members(recipe));
        archive.finish()
    };
    let outcome = runner.run(&recipes, |recipe| {
        assert_right(&archive(&recipe));
        Ok(())
    });
    if let Err(TestError::Fail(reason, recipe)) = outcome {
        let list = Run::new("tar")
            .args(["-tv", "--full-time"])
            .stdin(archive(&recipe))
            .ok()
            .text();
        let short = |line: &str| line.chars().take(150).chain(['\n']).collect::<String>();
        let shown: String = list
            .lines()
            .filter(|line| !line.contains("crowd-"))
            .map(short)
            .collect();
        panic!("{reason}\nof the archive (without its crowds)\n{shown}from {recipe:?}");
    }
}
