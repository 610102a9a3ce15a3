//! Writes the table of BLAKE3 chaining values of zeros, `cli/src/bundle/zero_subtrees.bin`.
//!
//! ```text
//! cargo run --release -p forger --no-default-features --example zero_subtrees -- OUT
//! ```
//!
//! It hashes 1 TiB of zeros, some minutes on two cores; the result never changes. The table holds
//! first the subtrees of 64 MiB at 0, 64 MiB, … below 128 GiB, then those of 1 GiB at 128 GiB,
//! 129 GiB, … below 1 TiB, 32 bytes each.
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, error, fs, thread};

use blake3::Hasher;
use blake3::hazmat::HasherExt;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// First offset and end of each part of the table, and the length of its subtrees.
const PARTS: [(u64, u64, u64); 2] = [(0, 128 * GIB, 64 * MIB), (128 * GIB, 1024 * GIB, GIB)];

fn main() -> Result<(), Box<dyn error::Error>> {
    let out = env::args_os().nth(1).ok_or("usage: zero_subtrees OUT")?;
    let subtrees: Vec<(u64, u64)> = PARTS
        .iter()
        .flat_map(|&(start, end, len)| {
            (start / len..end / len).map(move |index| (index * len, len))
        })
        .collect();
    let next = AtomicU64::new(0);
    let workers = thread::available_parallelism()?.get();
    let mut found = thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|_| scope.spawn(|| hash_some(&subtrees, &next)))
            .collect();
        let mut found = Vec::with_capacity(subtrees.len());
        for handle in handles {
            found.extend(handle.join().map_err(|_| "a thread panicked")?);
        }
        Ok::<_, &str>(found)
    })?;
    found.sort_unstable();
    let table: Vec<u8> = found.into_iter().flat_map(|(_, value)| value).collect();
    fs::write(out, table)?;
    Ok(())
}

/// Takes subtrees until none is left.
fn hash_some(subtrees: &[(u64, u64)], next: &AtomicU64) -> Vec<(u64, [u8; 32])> {
    let zeros = vec![0; 1 << 18];
    let mut found = Vec::new();
    while let Some(&(start, len)) = usize::try_from(next.fetch_add(1, Ordering::Relaxed))
        .ok()
        .and_then(|index| subtrees.get(index))
    {
        let mut hasher = Hasher::new();
        hasher.set_input_offset(start);
        for _ in 0..len >> 18 {
            hasher.update(&zeros);
        }
        found.push((start, hasher.finalize_non_root()));
    }
    found
}
