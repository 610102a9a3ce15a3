//! Makes a bundle of a tar stream: from a file, or from standard input when it is `-`.
//!
//! ```text
//! cargo run -p forger --no-default-features --example make_bundle -- ROOTFS.tar OUT.tar.zst
//! docker export CONTAINER | cargo run -p forger --example make_bundle -- - OUT.tar.zst
//! ```
//!
//! OUT appears when the bundle is whole and on the disk.
use std::fs::File;
use std::io::{self, Read};
use std::{env, error, thread};

use forger::bundle::{Options, make};
use forger_block::{PendingFile, Publish};
use forger_fs::ext4::{Layer, Size};
use forger_fs::observe::{Note, Observer};
use forger_fs::tar;

/// Passes notes on to standard error.
struct Notes;

impl Observer for Notes {
    fn note(&mut self, note: Note) {
        eprintln!("note: {note}");
    }
}

fn main() -> Result<(), Box<dyn error::Error>> {
    let usage = "usage: make_bundle SOURCE.tar|- OUT.tar.zst [SIZE-IN-GIB]";
    let mut args = env::args().skip(1);
    let (source, out) = (args.next().ok_or(usage)?, args.next().ok_or(usage)?);
    let input: Box<dyn Read> = match source.as_str() {
        "-" => Box::new(io::stdin().lock()),
        path => Box::new(File::open(path)?),
    };
    let mut options = Options::new("example", "example", env::consts::ARCH);
    options.threads = thread::available_parallelism().map_or(1, usize::from);
    if let Some(gib) = args.next() {
        options.ext4.size = Size::Exact(gib.parse::<u64>()? << 30);
    }
    let mut source = tar::Reader::new(input);
    let mut layers = [Layer {
        source: &mut source,
        overlay: false,
    }];
    let file = PendingFile::for_target(out)?;
    let made = make(&mut layers, &options, &file, &mut Notes)?;
    file.publish(Publish::default())?;
    println!("{} {} {}", made.file_name(), made.sha256_hex(), made.size);
    Ok(())
}
