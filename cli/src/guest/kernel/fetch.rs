//! Kernels from web servers and registries.

use std::io::{self, Read};
use std::sync::Arc;

use forger_block::{BlockRead, FileReader};
use forger_oci::{Algorithm, Digest, Hasher};

use super::{Adding, bundle, take};
use crate::exit::Failure;
use crate::network::Network;
use crate::network::locate::Wanted;
use crate::progress::{Console, Meter};
use crate::spool::spool;

/// Fetches a kernel: nothing of it is looked at before its SHA-256 is right.
///
/// # Errors
/// Why it cannot be fetched, or is another one.
pub(crate) fn fetch(
    adding: &mut Adding,
    network: &Network,
    wanted: &Wanted,
    console: &mut Console,
) -> Result<(), Failure> {
    let file = received(network, wanted, console)?;
    take(adding, Whole { file, at: 0 }, &wanted.location.to_string())
}

/// Fetches a kernel bundle and reads it to its end, to see that it is one; returns its size in bytes.
///
/// # Errors
/// As [`fetch`]; what is damaged.
pub(crate) fn verify(
    network: &Network,
    wanted: &Wanted,
    console: &mut Console,
) -> Result<u64, Failure> {
    let file = received(network, wanted, console)?;
    let size = file.len();
    let shown = wanted.location.to_string();
    bundle::read(Whole { file, at: 0 }, &shown).map(|_| size)
}

/// Fetches a file into one without a name, and compares its SHA-256.
fn received(
    network: &Network,
    wanted: &Wanted,
    console: &mut Console,
) -> Result<Arc<FileReader>, Failure> {
    let shown = wanted.location.to_string();
    let fetched = network.fetch(&wanted.location)?;
    console.start_phase("fetch");
    if let Some(size) = fetched.size {
        console.meter().expect(size);
    }
    let mut hashed = Hashed {
        inner: fetched.reader,
        hasher: Hasher::new(Algorithm::Sha256),
        meter: console.meter().clone(),
    };
    let file = spool(&mut hashed, &shown, None)?;
    let digest = hashed.hasher.finish();
    match wanted.sha256 {
        Some(sha256) if digest != of_sha256(&sha256) => {
            Err(Failure::failed(format!("cannot take {shown}"))
                .because(format!("its SHA-256 is {}", digest.hex()))
                .help("this is another kernel than the one asked for, or it is damaged"))
        }
        _ => Ok(file),
    }
}

fn of_sha256(sha256: &[u8; 32]) -> Digest {
    let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let digest = format!("sha256:{hex}").parse();
    digest.expect("64 hexadecimal digits are a digest")
}

/// Hashes what is read.
struct Hashed {
    inner: Box<dyn Read + Send>,
    hasher: Hasher,
    meter: Arc<Meter>,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        self.meter.add(u64::try_from(count).unwrap_or(0));
        Ok(count)
    }
}

/// Reads a file from its start to its end.
struct Whole {
    file: Arc<FileReader>,
    at: u64,
}

impl Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.file.len().saturating_sub(self.at);
        let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let window = buffer.get_mut(..count).unwrap_or_default();
        self.file
            .read_at(self.at, window)
            .map_err(io::Error::other)?;
        self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(0));
        Ok(count)
    }
}
