//! Makes an ext4 image of a tar or a folder: `cargo run --example mkfs -- rootfs.tar rootfs.ext4`.

use std::error::Error;
use std::fs::File;
use std::path::Path;

use forger_block::{PlacedFile, PlacedSink, Publish};
use forger_fs::ext4::{self, Layer, Options};
use forger_fs::folder::Folder;
use forger_fs::observe::Silent;
use forger_fs::source::Source;
use forger_fs::tar;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        return Err("usage: mkfs SOURCE IMAGE".into());
    };
    let mut source: Box<dyn Source> = if Path::new(input).is_dir() {
        Box::new(Folder::open(input, forger_fs::folder::Options::default())?)
    } else {
        Box::new(tar::Reader::new(File::open(input)?))
    };
    // The image appears under its name when it is complete, never before.
    let mut sink = Box::new(PlacedFile::create(output, Publish::default())?);
    let mut layers = [Layer {
        source: &mut *source,
        overlay: false,
    }];
    let summary = ext4::write(&mut layers, &Options::default(), &mut *sink, &mut Silent)?;
    sink.finish(summary.size)?;
    println!("{} bytes, {} entries", summary.size, summary.entries);
    Ok(())
}
