use std::sync::Arc;

use forger_block::{Bytes, SparseImage};

use super::*;
use crate::observe::Silent;

fn data(blocks: usize) -> Vec<u8> {
    let mut data = vec![0; blocks * BLOCK_LEN];
    for (i, block) in data.chunks_mut(BLOCK_LEN).enumerate() {
        // Every third block stays zeros.
        if i % 3 != 1 {
            block.fill(i.to_le_bytes()[0]);
            block[0] = i.to_le_bytes()[1];
        }
    }
    data
}

fn built(data: &dyn BlockRead, threads: usize) -> (Parameters, Vec<u8>, Root) {
    let parameters = Parameters::new(data.len(), 0)
        .unwrap()
        .with_salt(vec![5; 32])
        .unwrap();
    let mut hashes = vec![0; usize::try_from(parameters.end().unwrap()).unwrap()];
    let root = build(data, &parameters, threads, &mut Silent, &mut |at, bytes| {
        let at = usize::try_from(at).unwrap();
        hashes[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    })
    .unwrap();
    hashes[..512].copy_from_slice(&parameters.superblock());
    (parameters, hashes, root)
}

#[test]
fn any_number_of_threads_makes_the_same_tree() {
    for blocks in [1, 2, 128, 129, 1024, 1025, 2500, 16_385] {
        let data = data(blocks);
        let one = built(&data, 1);
        for threads in [2, 3, 7] {
            assert!(built(&data, threads) == one, "{blocks} blocks, {threads}");
        }
        let (parameters, hashes, root) = one;
        check(&data, &hashes, &parameters, root, 2, &mut Silent).unwrap();
    }
}

#[test]
fn a_planned_area_reads_as_the_one_that_is_written_however_little_is_held() {
    let mut sparse = SparseImage::builder();
    sparse.bytes(0, Bytes::from(data(300))).unwrap();
    sparse.bytes(5000 * BLOCK, Bytes::from(data(40))).unwrap();
    let sparse: Arc<dyn BlockRead> = Arc::new(sparse.finish(5041 * BLOCK).unwrap());
    let (parameters, hashes, root) = built(&sparse, 2);
    for held in [0, 2, 1000] {
        let planned = plan::plan_holding(held, &sparse, &parameters, 2, &mut Silent);
        let (area, found) = planned.unwrap();
        assert_eq!(found, root);
        forger_block::conformance::reader(&area, &hashes);
    }
}

#[test]
fn holes_are_zeros() {
    let blocks = 3000;
    let mut sparse = SparseImage::builder();
    sparse
        .bytes(130 * BLOCK, Bytes::from(vec![3; 5000]))
        .unwrap();
    let sparse = sparse.finish(blocks * BLOCK).unwrap();
    let mut plain = vec![0; usize::try_from(blocks * BLOCK).unwrap()];
    sparse.read_at(0, &mut plain).unwrap();
    let sparse: Arc<dyn BlockRead> = Arc::new(sparse);
    assert!(built(&sparse, 2) == built(&plain, 2));
}

#[test]
fn one_flipped_bit_is_found_and_placed() {
    let data = data(300);
    let (parameters, hashes, root) = built(&data, 2);
    let checked = |data: &Vec<u8>, hashes: &Vec<u8>| {
        check(data, hashes, &parameters, root, 2, &mut Silent).unwrap_err()
    };
    let mut bad = data.clone();
    bad[200 * BLOCK_LEN + 77] ^= 1;
    let error = checked(&bad, &hashes);
    assert!(
        matches!(
            error,
            Error::Data {
                block: 200,
                offset: 819_200
            }
        ),
        "{error}"
    );
    // Superblock, then one block of the highest level, then three of the lowest.
    for at in [BLOCK_LEN + 70, BLOCK_LEN + 4000, 4 * BLOCK_LEN + 4000] {
        let mut bad = hashes.clone();
        bad[at] ^= 1;
        let error = checked(&data, &bad);
        let expected = u64::try_from(at).unwrap() / BLOCK * BLOCK;
        assert!(
            matches!(error, Error::Tree { offset } if offset == expected),
            "{error}"
        );
    }
    let other = Root([0; 32]);
    let error = check(&data, &hashes, &parameters, other, 2, &mut Silent).unwrap_err();
    assert!(matches!(error, Error::Root { .. }), "{error}");
}

#[test]
fn an_error_of_the_writer_ends_it() {
    let data = data(5000);
    let parameters = Parameters::new(data.len() as u64, 0).unwrap();
    let mut written = 0;
    let error = build(&data, &parameters, 3, &mut Silent, &mut |_, _| {
        written += 1;
        if written == 2 {
            return Err(forger_block::Error::Interrupted);
        }
        Ok(())
    })
    .unwrap_err();
    assert!(matches!(error, Error::Block(_)), "{error}");
}

#[test]
fn salt_and_uuid_depend_on_head_and_length() {
    let all = data(100);
    let derived = derive(&all).unwrap();
    assert_eq!(derive(&all).unwrap(), derived);
    let mut other = all;
    other[5] ^= 1;
    assert_ne!(derive(&other).unwrap(), derived);
    assert_ne!(derive(&data(101)).unwrap(), derived);
    assert_eq!(derived.1[6] >> 4, 8);
}

#[test]
fn lengths_and_salts_that_cannot_be_are_refused() {
    for len in [0, 1, 4095, 4097] {
        assert!(matches!(Parameters::new(len, 0), Err(Error::Length { .. })));
    }
    let parameters = Parameters::new(4096, 0).unwrap();
    assert!(parameters.clone().with_salt(vec![0; 256]).is_ok());
    assert!(matches!(
        parameters.with_salt(vec![0; 257]),
        Err(Error::Salt { len: 257 })
    ));
}
