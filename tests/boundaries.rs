//! Disks that end, and hold something, just before and behind what one table of a format describes: they
//! come back, and their images are sound.

use std::sync::Arc;

use forger_block::{BlockRead, Bytes, SparseImage};
use forger_disk::{Container, Unwatched, android_sparse, check, compare, qcow2, vhd, vhdx, vmdk};
use proptest::prelude::{Strategy, any};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Disks that are tried of each format.
const CASES: u32 = 24;

/// A disk near a boundary: its distance from one, as a number of units and of bytes, and where something
/// stands, each by such a distance.
#[derive(Clone, Debug)]
struct Recipe {
    units: u64,
    delta: i64,
    marks: Vec<(u64, i64, u8)>,
    choice: u8,
}

fn recipes() -> impl Strategy<Value = Recipe> {
    let delta = || -1025_i64..1025;
    let mark = (0_u64..5, delta(), 1_u8..255);
    let marks = proptest::collection::vec(mark, 0..6);
    (1_u64..5, delta(), marks, any::<u8>()).prop_map(|(units, delta, marks, choice)| Recipe {
        units,
        delta,
        marks,
        choice,
    })
}

impl Recipe {
    /// Makes the disk, where a table describes `reach` bytes.
    fn disk(&self, reach: u64) -> Arc<dyn BlockRead> {
        let len = (self.units * reach).saturating_add_signed(self.delta);
        let mut marks: Vec<(u64, u8)> = self
            .marks
            .iter()
            .map(|(units, delta, byte)| ((units * reach).saturating_add_signed(*delta), *byte))
            .filter(|(at, _)| *at < len)
            .collect();
        // The last byte of all is something, too.
        marks.push((len - 1, 7));
        marks.sort_unstable();
        marks.dedup_by_key(|(at, _)| *at);
        let mut disk = SparseImage::builder();
        for (at, byte) in marks {
            disk.bytes(at, Bytes::from(vec![byte])).unwrap();
        }
        Arc::new(disk.finish(len).unwrap())
    }
}

/// Tries a format: `make` plans the image of a disk, of which one table describes so many bytes.
fn holds(reach: impl Fn(u8) -> u64, make: impl Fn(&Arc<dyn BlockRead>, u8) -> SparseImage) {
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&recipes(), |recipe| {
        let disk = recipe.disk(reach(recipe.choice));
        let file: Arc<dyn BlockRead> = Arc::new(make(&disk, recipe.choice));
        let image = Container::open(Arc::clone(&file), None).unwrap();
        let report = check(&file, image.format()).unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        let back = image.disk();
        assert!(back.len() >= disk.len());
        let differs = compare(&disk, &back, 1, &mut Unwatched).unwrap();
        assert_eq!(differs, None);
        Ok(())
    });
    outcome.unwrap();
}

/// Options of a qcow2 by a number: small clusters reach every limit with small disks.
fn qcow2_options(choice: u8) -> qcow2::Options {
    let cluster_size = [512, 4096, 16_384, 65_536][usize::from(choice % 4)];
    qcow2::Options {
        version: if choice & 4 == 0 { 3 } else { 2 },
        cluster_size,
        extended_l2: choice & 12 == 8 && cluster_size >= 16_384,
        ..qcow2::Options::default()
    }
}

#[test]
fn a_qcow2_holds_disks_around_the_ends_of_its_l2_tables() {
    let reach = |choice| {
        let options = qcow2_options(choice);
        let entry = if options.extended_l2 { 16 } else { 8 };
        options.cluster_size * (options.cluster_size / entry)
    };
    holds(reach, |disk, choice| {
        qcow2::plan(disk, &qcow2_options(choice), 1, &mut Unwatched).unwrap()
    });
}

#[test]
fn a_qcow2_holds_disks_around_the_ends_of_clusters_of_its_l1_table() {
    // A cluster of 512 bytes with 64 entries, each for 32 KiB.
    let options = qcow2::Options {
        cluster_size: 512,
        ..qcow2::Options::default()
    };
    holds(
        |_| 64 * 32_768,
        |disk, _| qcow2::plan(disk, &options, 1, &mut Unwatched).unwrap(),
    );
}

#[test]
fn a_qcow2_counts_references_around_the_ends_of_its_blocks_and_of_their_table() {
    // With clusters of 512 bytes a block counts 256 of 16 bits or 64 of 64, and a cluster of the table
    // has 64 blocks: what is preallocated fills them.
    for refcount_bits in [16, 64] {
        let block = 4096 / u64::from(refcount_bits);
        for clusters in [block, 2 * block, 64 * block] {
            for more in 0..40 {
                // Tables take some of them: from well before the boundary to behind it.
                let count = clusters - clusters / 32 - 20 + more;
                let mut new = qcow2::Create::new(count * 512);
                new.options.cluster_size = 512;
                new.options.refcount_bits = refcount_bits;
                new.preallocation = qcow2::Preallocation::Metadata;
                let file: Arc<dyn BlockRead> = Arc::new(qcow2::create(&new).unwrap());
                let report = qcow2::check(&file).unwrap();
                assert!(report.findings.is_empty(), "{count}: {:?}", report.findings);
                assert_eq!(qcow2::Image::open(file).unwrap().len(), count * 512);
            }
        }
    }
}

#[test]
fn a_vhd_holds_disks_around_the_ends_of_blocks_and_of_sectors_of_its_table() {
    // Blocks of 2 MiB, 128 entries in a sector.
    let reach = |choice| [2 << 20, 128 * (2 << 20)][usize::from(choice % 2)];
    holds(reach, |disk, _| {
        vhd::plan_dynamic(disk, 1, &mut Unwatched).unwrap()
    });
}

#[test]
fn a_vhdx_holds_disks_around_the_ends_of_its_chunks() {
    // Blocks of 1 MiB: 2^23 sectors make a chunk, behind whose entries one for a bitmap stands.
    let sector = |choice: u8| [512_u64, 4096][usize::from(choice % 2)];
    holds(
        |choice| sector(choice) << 23,
        |disk, choice| {
            let options = vhdx::Options {
                sector_size: sector(choice),
                fixed: false,
            };
            vhdx::plan(disk, &options, 1, &mut Unwatched).unwrap()
        },
    );
}

#[test]
fn a_vmdk_holds_disks_around_the_ends_of_its_grain_tables_and_of_its_directory() {
    // 512 grains of 64 KiB a table, 128 tables in a sector of the directory.
    let reach = |choice| [32 << 20, 128 * (32 << 20)][usize::from(choice % 2)];
    holds(reach, |disk, _| {
        vmdk::plan(disk, "a.vmdk", 1, &mut Unwatched).unwrap()
    });
}

#[test]
fn an_android_sparse_image_holds_disks_around_the_ends_of_its_chunks() {
    // Raw chunks have 1 GiB at most; here they are cut by what repeats.
    holds(
        |_| 1 << 30,
        |disk, _| {
            let options = android_sparse::Options::default();
            android_sparse::plan(disk, &options, 1, &mut Unwatched).unwrap()
        },
    );
}
