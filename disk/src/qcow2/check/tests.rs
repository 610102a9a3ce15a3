//! What is damaged is said, with its place.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::sync::Arc;

use forger_block::BlockRead;

use super::super::{Create, Options, Preallocation, create};
use super::*;
use crate::Severity;

/// An image of 1 MiB with clusters of 4 KiB, all of them in place: header, refcount table and block at
/// 4096 and 8192, L1 table at 12288, L2 table at 16384, data behind.
fn image() -> Vec<u8> {
    let new = Create {
        options: Options {
            cluster_size: 4096,
            ..Options::default()
        },
        preallocation: Preallocation::Metadata,
        ..Create::new(1 << 20)
    };
    let image = create(&new).unwrap();
    let mut bytes = vec![0; usize::try_from(image.len()).unwrap()];
    image.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Checks the image with a word changed; returns what was found.
fn changed(at: usize, word: u64) -> Vec<String> {
    let mut bytes = image();
    bytes[at..at + 8].copy_from_slice(&word.to_be_bytes());
    let file: Arc<dyn BlockRead> = Arc::new(bytes);
    let found = check(&file).unwrap().findings;
    found
        .iter()
        .map(|finding| match finding.severity {
            Severity::Leak => format!("leak: {finding}"),
            _ => finding.to_string(),
        })
        .collect()
}

const COPIED: u64 = 1 << 63;
const L1: usize = 12_288;
const L2: usize = 16_384;

#[test]
fn a_sound_image_is_clean() {
    let file: Arc<dyn BlockRead> = Arc::new(image());
    assert_eq!(check(&file).unwrap().findings, []);
}

#[test]
fn lost_and_shared_clusters_are_found() {
    assert_eq!(
        changed(L2 + 8, 0),
        ["leak: the cluster at offset 24576: refcount 1, but 0 references"]
    );
    assert_eq!(
        changed(L2 + 8, COPIED | 20_480),
        [
            "the cluster at offset 20480: refcount 1, but 2 references",
            "leak: the cluster at offset 24576: refcount 1, but 0 references",
        ]
    );
    // The L2 table itself.
    let found = changed(L2 + 8, COPIED | 16_384);
    assert!(
        found[0].contains("shares the cluster at offset 16384"),
        "{found:?}"
    );
}

#[test]
fn what_leads_nowhere_is_found() {
    let beyond = changed(L2, COPIED | 1 << 40);
    assert_eq!(
        beyond[0],
        "the L2 entry of the cluster at guest offset 0: it would stand at offset 1099511627776 (4096 \
         bytes) in a file of 1069056 bytes"
    );
    let odd = changed(L2, COPIED | 20_992);
    assert!(
        odd[0].ends_with("offset 20992 does not begin a cluster"),
        "{odd:?}"
    );
    let reserved = changed(L2, COPIED | 1 << 57 | 20_480);
    assert!(reserved[0].contains("reserved bits"), "{reserved:?}");
    let compressed = changed(L2, 1 << 62 | 1 << 41);
    assert!(
        compressed[0].contains("offset 2199023255552"),
        "{compressed:?}"
    );
    let table = changed(L1, COPIED | 17_000);
    assert!(
        table[0].contains("does not begin a cluster") || table[0].contains("reserved"),
        "{table:?}"
    );
    assert!(changed(L1, COPIED)[0].contains("no L2 table"));
}

#[test]
fn marks_and_refcounts_must_agree() {
    let shared = changed(L2, 20_480);
    assert_eq!(
        shared,
        [
            "the L2 entry of the cluster at guest offset 0: its cluster is marked as shared, but has a \
          refcount of 1"
        ]
    );
    // The refcounts of the first four clusters.
    let counts = changed(8192, 0x0001_0001_0001_0003);
    assert_eq!(
        counts,
        ["leak: the cluster at offset 12288: refcount 3, but 1 references"]
    );
    let counts = changed(8192, 0);
    assert_eq!(
        counts,
        ["4 clusters from offset 0 on: refcount 0, but 1 references"]
    );
    let block = changed(4096, 0);
    assert!(
        block.iter().any(|found| found.contains("refcount 0")),
        "{block:?}"
    );
    let block = changed(4096, 8200);
    assert!(block[0].contains("reserved bits"), "{block:?}");
    let block = changed(4104, 8192);
    assert!(
        block[0].contains("shares the cluster at offset 8192"),
        "{block:?}"
    );
}

#[test]
fn headers_that_cannot_be_are_findings_and_not_errors() {
    // Size, L1 table, refcount table, list of snapshots.
    for (at, word) in [
        (24, u64::MAX),
        (40, 100),
        (48, 100),
        (48, 1 << 63),
        (64, 100),
    ] {
        let found = changed(at, word);
        assert!(found[0].starts_with("header: "), "{found:?}");
    }
    let empty = changed(56, 0);
    assert_eq!(empty, ["header: there is no refcount table"]);
    let file: Arc<dyn BlockRead> = Arc::new(vec![0_u8; 4096]);
    assert!(matches!(check(&file), Err(ReadError::NotQcow2)));
}
