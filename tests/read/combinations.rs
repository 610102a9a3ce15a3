//! Features of mke2fs in combination, drawn by seed: whatever mke2fs and the kernel take is read as
//! mounted.

use super::*;

/// How many combinations are drawn.
const DRAWN: u64 = 400;

/// What can be switched, each on or off, in the words of `mke2fs -O`.
const SWITCHES: [&str; 28] = [
    "^extent",
    "^64bit",
    "^metadata_csum",
    "^metadata_csum,uninit_bg",
    "metadata_csum_seed",
    "meta_bg,^resize_inode",
    "^resize_inode",
    "sparse_super2",
    "^sparse_super",
    "bigalloc",
    "inline_data",
    "ea_inode",
    "large_dir",
    "^filetype",
    "^dir_index",
    "^flex_bg",
    "^has_journal",
    "orphan_file",
    "mmp",
    "verity",
    "encrypt",
    "quota",
    "quota,project",
    "casefold",
    "^huge_file",
    "^large_file",
    "^dir_nlink",
    "^extra_isize",
];

/// The options of a combination: two to five switches, a block size, an inode size.
fn drawn(seed: u64) -> String {
    let mut state = seed;
    let mut below = |end: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(end).unwrap()).unwrap()
    };
    let mut switches: Vec<&str> = (0..2 + below(4))
        .map(|_| SWITCHES[below(SWITCHES.len())])
        .collect();
    switches.sort_unstable();
    switches.dedup();
    let block = ["1024", "2048", "4096"][below(3)];
    let inode = ["128", "256", "256", "512", "1024"][below(5)];
    format!("-t ext4 -b {block} -I {inode} -O {}", switches.join(","))
}

/// Formats and fills an image; `None` where mke2fs or the kernel refuses the combination.
fn filled(image: &Path, options: &str) -> Option<()> {
    File::create(image).unwrap().set_len(192 << 20).unwrap();
    let made = Run::new("mke2fs")
        .args(["-q", "-F"])
        .args(options.split_whitespace())
        .arg(image)
        .output();
    if !made.status.success() {
        return None;
    }
    let mount = Mount::try_read_write(image).ok()?;
    fill(mount.path());
    Some(())
}

#[test]
#[ignore = "takes minutes; cargo xtask full runs it"]
fn combinations_of_features_read_as_mounted() {
    need!("loop", "mke2fs", "setfacl", "e2fsck");
    let mut read = 0;
    for seed in 0..DRAWN {
        let options = drawn(seed);
        eprintln!("{seed}: {options}");
        let scratch = Scratch::new();
        let image = scratch.path("image");
        if filled(&image, &options).is_none() {
            continue;
        }
        assert_reads_as_mounted(&image);
        let report = check(&open(&image)).unwrap();
        let errors: Vec<_> = report.errors().collect();
        let judged = Run::new("e2fsck").arg("-fn").arg(&image).output();
        assert_eq!(judged.status.code(), Some(0), "{options}: {judged}");
        assert!(errors.is_empty(), "{options}: {errors:?}");
        read += 1;
    }
    eprintln!("{read} of {DRAWN} combinations are possible, and read as mounted");
    assert!(read > DRAWN / 4, "only {read} were possible");
}
