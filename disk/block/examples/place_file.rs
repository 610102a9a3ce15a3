//! Copies a file through a `PlacedFile`, durably: what the output side costs, to be compared with
//! `cp --reflink=never IN OUT && sync OUT`.
//!
//! ```text
//! cargo run --example place_file -- IN OUT
//! ```

use std::error::Error;

use forger_block::{BlockRead, FileReader, PlacedFile, PlacedSink, Publish, place};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        return Err("usage: place_file IN OUT".into());
    };
    let source = FileReader::open(input)?;
    let publish = Publish {
        force: true,
        ..Publish::default()
    };
    let mut sink = Box::new(PlacedFile::create(output, publish)?);
    place(&source, 0, &mut *sink, &mut || false)?;
    sink.finish(source.len())?;
    source.check_unchanged()?;
    Ok(())
}
