//! The ext4 reader: images that mke2fs formats and the kernel fills read as the kernel shows them.

mod combinations;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use forger_block::{BlockRead, FileReader};
use forger_fs::ext4::{FileType, Image, ReadError, check};
use forger_fs::folder::{Folder, Options, Owners};
use forger_fs::tree::{Content, Holes, Policy, Tree};
use forger_tests::mount::Mount;
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags};

fn open(path: &Path) -> Image {
    let reader: Arc<dyn BlockRead> = Arc::new(FileReader::open(path).unwrap());
    Image::open(reader).unwrap()
}

/// Puts everything a filesystem can hold into a folder.
fn fill(root: &Path) {
    let make = |name: &str, body: &[u8]| fs::write(root.join(name), body).unwrap();
    for folder in ["d", "d/e", "d/e/f", "many", "empty"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    make("d/a", b"hello");
    make("d/none", b"");
    make("d/block", &[7; 65536]);
    fs::hard_link(root.join("d/a"), root.join("d/hard")).unwrap();
    symlink("a", root.join("d/short")).unwrap();
    symlink("x".repeat(59), root.join("d/59")).unwrap();
    symlink("x".repeat(60), root.join("d/60")).unwrap();
    symlink("y".repeat(1000), root.join("d/long")).unwrap();
    nodes(root);
    let sparse = File::create(root.join("d/sparse")).unwrap();
    sparse.write_all_at(&[1; 5000], 5 << 20).unwrap();
    sparse.write_all_at(b"y", 40 << 20).unwrap();
    sparse.set_len(50 << 20).unwrap();
    // Every other block: an extent each, or indirect blocks.
    let scattered = File::create(root.join("d/scattered")).unwrap();
    for i in 0..700_u64 {
        let at = i * 16384;
        scattered.write_all_at(&i.to_le_bytes(), at).unwrap();
    }
    for i in 0..1500_usize {
        let name = format!("many/n{i}-{}", "q".repeat(i % 100));
        make(&name, &vec![b'k'; i % 200]);
    }
    for i in 0..300 {
        fs::remove_file(root.join(format!("many/n{i}-{}", "q".repeat(i % 100)))).unwrap();
    }
    metadata(root);
}

fn nodes(root: &Path) {
    let node = |args: &[&str]| {
        Run::new("mknod").dir(root).args(args.iter().copied()).ok();
    };
    node(&["d/pipe", "p"]);
    node(&["d/null", "c", "1", "3"]);
    node(&["d/wide", "b", "300", "70000"]);
    std::os::unix::net::UnixListener::bind(root.join("d/socket")).unwrap();
}

fn metadata(root: &Path) {
    let path = |name: &str| root.join(name);
    let set = |name: &str, key: &str, value: &[u8]| {
        rustix::fs::setxattr(path(name), key, value, XattrFlags::empty()).unwrap();
    };
    set("d/a", "user.small", b"value");
    set("d/a", "user.large", &[b'w'; 700]);
    set("d/a", "trusted.empty", b"");
    set("d/block", "user.b", &[b'z'; 900]);
    set("d/none", "user.only", &[0, 255, 7]);
    set(
        "d/e",
        "security.capability",
        b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    );
    Run::new("setfacl")
        .dir(root)
        .args(["-m", "u:1000:rwx,g:50:r", "d/e"])
        .ok();
    Run::new("setfacl")
        .dir(root)
        .args(["-d", "-m", "u:7:r", "d/e/f"])
        .ok();
    fs::set_permissions(path("d/block"), fs::Permissions::from_mode(0o6751)).unwrap();
    std::os::unix::fs::lchown(path("d/none"), Some(70_000), Some(4_000_000_000)).unwrap();
    std::os::unix::fs::lchown(path("d/long"), Some(1), Some(2)).unwrap();
    times(&path("d/e/f"), 1_700_000_000, 987_654_321);
    times(&path("d/short"), 1_000_000_000, 1);
}

fn times(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn tree_of_folder(root: &Path) -> Tree<Content> {
    let options = Options {
        owners: Owners::Keep,
        ..Options::default()
    };
    let mut folder = Folder::open(root, options).unwrap();
    Tree::collect(&mut folder, Policy::default()).unwrap()
}

/// Leaves out what a folder does not tell.
fn without_host_facts(mut tree: Tree<Content>) -> Tree<Content> {
    for id in tree.ids().collect::<Vec<_>>() {
        let meta = tree.meta_mut(id);
        (meta.atime, meta.ctime, meta.crtime) = (None, None, None);
        meta.project = 0;
    }
    tree
}

fn assert_reads_as_mounted(image: &Path) {
    let ours = without_host_facts(open(image).tree().unwrap());
    let mount = Mount::read_only(image);
    let kernels = tree_of_folder(mount.path());
    // The kernel tells sockets' and symlinks' flags to nobody, and names INDEX among the flags.
    let differences = ours.differences(&kernels, Holes::AsZeros).unwrap();
    assert_eq!(differences, [], "{}", image.display());
}

/// Formats an image with options of mke2fs, fills it through a mount, and compares.
fn assert_variant_reads(options: &str) {
    let scratch = Scratch::new();
    let image = scratch.path("image");
    File::create(&image).unwrap().set_len(192 << 20).unwrap();
    Run::new("mke2fs")
        .args(["-q", "-F"])
        .args(options.split_whitespace())
        .arg(&image)
        .ok();
    {
        let mount = Mount::read_write(&image);
        fill(mount.path());
    }
    assert_reads_as_mounted(&image);
    assert_lookups_agree(&image);
    let report = check(&open(&image)).unwrap();
    assert_eq!(report.findings, [], "e2fsck has nothing to say either");
}

/// Looks every name up by its path and lists every folder.
fn assert_lookups_agree(path: &Path) {
    let image = open(path);
    let tree = image.tree().unwrap();
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        let inode = image.lookup(walk.path(), false).unwrap();
        let node = tree.node(visit.node);
        assert_eq!(inode.uid(), node.meta.uid);
        assert_eq!(
            inode.file_type() == FileType::Directory,
            node.kind.is_directory()
        );
        if let Some(directory) = node.directory() {
            let mut names: Vec<Vec<u8>> = image
                .list(&inode)
                .unwrap()
                .into_iter()
                .map(|entry| entry.name)
                .collect();
            names.sort();
            assert!(
                names
                    .iter()
                    .map(Vec::as_slice)
                    .eq(directory.iter().map(|(name, _)| name))
            );
        }
    }
    let missing = image.lookup(b"many/nothing-of-that-name", false);
    assert!(matches!(missing, Err(ReadError::NotFound { .. })));
    let followed = image.lookup(b"d/e/../short", true).unwrap();
    assert_eq!(followed.size(), 5);
}

macro_rules! variants {
    ($($name:ident: $options:literal,)+) => {
        $(
            #[test]
            fn $name() {
                need!("loop", "mke2fs", "setfacl");
                assert_variant_reads($options);
            }
        )+
    };
}

variants! {
    ext4_reads_as_mounted: "-t ext4",
    ext4_of_1k_blocks_reads_as_mounted: "-t ext4 -b 1024",
    ext4_of_2k_blocks_and_large_inodes_reads_as_mounted: "-t ext4 -b 2048 -I 1024",
    ext4_of_small_inodes_reads_as_mounted: "-t ext4 -I 128",
    ext2_reads_as_mounted: "-t ext2",
    ext2_of_1k_blocks_reads_as_mounted: "-t ext2 -b 1024 -I 128",
    ext3_reads_as_mounted: "-t ext3",
    inline_data_reads_as_mounted: "-t ext4 -O inline_data",
    inline_data_in_large_inodes_reads_as_mounted: "-t ext4 -O inline_data -b 1024 -I 1024",
    ea_inode_reads_as_mounted: "-t ext4 -O ea_inode",
    meta_bg_reads_as_mounted: "-t ext4 -O meta_bg,^resize_inode -b 1024",
    sparse_super2_reads_as_mounted: "-t ext4 -O sparse_super2",
    no_checksums_read_as_mounted: "-t ext4 -O ^metadata_csum",
    uninit_bg_reads_as_mounted: "-t ext4 -O ^metadata_csum,uninit_bg,^64bit",
    uninit_bg_of_64bit_reads_as_mounted: "-t ext4 -O ^metadata_csum,uninit_bg,64bit",
    bigalloc_reads_as_mounted: "-t ext4 -O bigalloc -C 65536",
    checksum_seed_reads_as_mounted: "-t ext4 -O metadata_csum_seed",
    block_maps_with_checksums_read_as_mounted: "-t ext4 -O ^extent,^64bit",
    no_journal_reads_as_mounted: "-t ext4 -O ^has_journal",
    orphan_file_reads_as_mounted: "-t ext4 -O orphan_file",
    large_dir_reads_as_mounted: "-t ext4 -O large_dir",
    no_filetype_reads_as_mounted: "-t ext4 -O ^filetype",
    no_dir_index_reads_as_mounted: "-t ext4 -O ^dir_index",
    no_flex_bg_reads_as_mounted: "-t ext4 -O ^flex_bg",
    verity_reads_as_mounted: "-t ext4 -O verity",
    mmp_reads_as_mounted: "-t ext4 -O mmp",
    encrypt_reads_as_mounted: "-t ext4 -O encrypt",
}

#[test]
fn ea_inode_values_read_as_mounted() {
    need!("loop", "mke2fs");
    let scratch = Scratch::new();
    let image = scratch.path("image");
    File::create(&image).unwrap().set_len(32 << 20).unwrap();
    Run::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-O", "ea_inode"])
        .arg(&image)
        .ok();
    {
        let mount = Mount::read_write(&image);
        for name in ["a", "b"] {
            let path = mount.join(name);
            fs::write(&path, name).unwrap();
            for (key, len) in [("user.large", 60_000), ("user.larger", 65_000)] {
                let value = vec![b'v'; len];
                rustix::fs::setxattr(&path, key, &value, XattrFlags::empty()).unwrap();
            }
        }
    }
    assert_reads_as_mounted(&image);
}

/// Formats an image, fills it, and copies it while it is mounted, all committed, nothing
/// checkpointed; then compares what we replay in memory with what the kernel replays.
fn assert_dirty_journal_reads(format: &str, tune: &str) {
    let scratch = Scratch::new();
    let image = scratch.path("image");
    File::create(&image).unwrap().set_len(192 << 20).unwrap();
    Run::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4"])
        .args(format.split_whitespace())
        .arg(&image)
        .ok();
    if !tune.is_empty() {
        Run::new("tune2fs")
            .args(tune.split_whitespace())
            .arg(&image)
            .ok();
    }
    let copy = scratch.path("copy");
    {
        let mount = Mount::read_write(&image);
        fill(mount.path());
        // Deleted while open: an orphan.
        let orphan = File::create(mount.join("orphan")).unwrap();
        orphan.write_all_at(&[9; 9000], 0).unwrap();
        orphan.sync_all().unwrap();
        fs::remove_file(mount.join("orphan")).unwrap();
        rustix::fs::syncfs(File::open(mount.path()).unwrap()).unwrap();
        fs::copy(&image, &copy).unwrap();
        drop(orphan);
    }
    let opened = open(&copy);
    assert!(opened.replayed());
    let report = check(&opened).unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
    assert_eq!(opened.orphans().unwrap().len(), 1);
    let ours = without_host_facts(opened.tree().unwrap());
    let mount = Mount::read_write(&copy);
    let kernels = tree_of_folder(mount.path());
    let differences = ours.differences(&kernels, Holes::AsZeros).unwrap();
    assert_eq!(differences, []);
}

#[test]
fn dirty_journal_reads_as_the_kernel_replays_it() {
    need!("loop", "mke2fs", "setfacl");
    assert_dirty_journal_reads("", "");
}

#[test]
fn dirty_journal_of_data_reads_as_the_kernel_replays_it() {
    need!("loop", "mke2fs", "setfacl");
    assert_dirty_journal_reads("", "-o journal_data");
}

#[test]
fn dirty_journal_without_checksums_reads_as_the_kernel_replays_it() {
    need!("loop", "mke2fs", "setfacl");
    assert_dirty_journal_reads("-O ^metadata_csum,^64bit", "");
}

#[test]
fn dirty_journal_with_summed_transactions_reads_as_the_kernel_replays_it() {
    need!("loop", "mke2fs", "setfacl");
    assert_dirty_journal_reads("-O ^metadata_csum", "-E mount_opts=journal_checksum");
}

#[test]
fn dirty_journal_of_1k_blocks_reads_as_the_kernel_replays_it() {
    need!("loop", "mke2fs", "setfacl");
    assert_dirty_journal_reads("-b 1024 -J size=32 -O orphan_file", "");
}
