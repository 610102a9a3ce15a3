//! A registry that misbehaves in each of the known ways.

mod listings;
mod pulls;
mod pushes;
mod server;
mod users;

use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Anonymous, Keychain, Options, Repository};
use crate::blob::{self, Blobs};
use crate::http::{self, Client, Clock};
use crate::{Descriptor, Digest, MediaType, Result};

/// A clock on which waiting takes no time.
#[derive(Debug, Default)]
struct Patience {
    now: AtomicU64,
    waits: Mutex<Vec<(Duration, String)>>,
}

impl Clock for Patience {
    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn wait(&self, duration: Duration, reason: &str) -> bool {
        self.waits
            .lock()
            .unwrap()
            .push((duration, reason.to_owned()));
        self.now.fetch_add(duration.as_secs(), Ordering::Relaxed);
        true
    }
}

/// A client and its clock.
fn client(options: http::Options) -> (Arc<Client>, Arc<Patience>) {
    let clock = Arc::new(Patience::default());
    let client = Client::new(options, clock.clone()).unwrap();
    (Arc::new(client), clock)
}

fn repository_as(
    host: &str,
    name: &str,
    keychain: Arc<dyn Keychain>,
    options: Options,
) -> (Repository, Arc<Patience>) {
    let (client, clock) = client(http::Options::default());
    let reference = format!("{host}/{name}:1").parse().unwrap();
    let repository = Repository::new(client, &reference, keychain, options).unwrap();
    (repository, clock)
}

/// The repository `team/app` of a registry, and the clock of whoever uses it.
fn repository(server: &server::Server) -> (Repository, Arc<Patience>) {
    repository_as(
        &server.host(),
        "team/app",
        Arc::new(Anonymous),
        Options::default(),
    )
}

/// Blobs in memory.
#[derive(Debug, Default)]
struct Shelf(Vec<Vec<u8>>);

impl Blobs for Shelf {
    fn open_raw(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        let found = self
            .0
            .iter()
            .find(|bytes| Digest::of(bytes).to_string() == blob.digest().to_string());
        Ok(Box::new(Cursor::new(found.unwrap().clone())))
    }

    fn place(&self) -> String {
        "a shelf".to_owned()
    }
}

fn described(bytes: &[u8]) -> Descriptor {
    described_as(MediaType::ImageLayer, bytes)
}

fn described_as(media_type: MediaType, bytes: &[u8]) -> Descriptor {
    Descriptor::new(
        media_type,
        u64::try_from(bytes.len()).unwrap(),
        Digest::of(bytes),
    )
}

/// Bytes that differ from each other and from those of another seed.
fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next)
        .flatten()
        .take(length)
        .collect()
}

/// Reads a blob to its end.
fn pull(repository: &Repository, bytes: &[u8]) -> Result<Vec<u8>> {
    blob::read(repository, &described(bytes), u64::MAX)
}

/// Returns an error and all its causes in one text.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
