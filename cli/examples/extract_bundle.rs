//! Verifies a bundle from a file, or from standard input when it is `-`, and takes its image out.
//!
//! ```text
//! cargo run -p forger --no-default-features --example extract_bundle -- BUNDLE.tar.zst IMAGE.ext4
//! ```
//!
//! The image appears only when all of the bundle was read and found as its manifest says.
use std::fs::File;
use std::io::{self, Read};
use std::{env, error};

use forger::bundle::extract;
use forger_block::{BlockSink, ForwardFile, Publish};
use forger_fs::observe::Silent;

fn main() -> Result<(), Box<dyn error::Error>> {
    let usage = "usage: extract_bundle BUNDLE.tar.zst|- IMAGE.ext4";
    let mut args = env::args().skip(1);
    let (bundle, image) = (args.next().ok_or(usage)?, args.next().ok_or(usage)?);
    let input: Box<dyn Read> = match bundle.as_str() {
        "-" => Box::new(io::stdin().lock()),
        path => Box::new(File::open(path)?),
    };
    let mut sink = Box::new(ForwardFile::create(image, Publish::default())?);
    let facts = extract(input, None, &mut *sink, &mut Silent)?;
    sink.finish()?;
    println!("{} bytes from {}", facts.image_size, facts.manifest.name);
    Ok(())
}
