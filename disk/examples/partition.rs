//! Puts a filesystem image on a GPT disk of its own size and makes that a compressed qcow2 file.
//!
//! ```sh
//! cargo run -p forger-disk --example partition -- root.ext4 disk.qcow2
//! ```

use std::env;
use std::error::Error;
use std::sync::Arc;

use forger_block::{BlockRead, FileReader, PlacedFile, PlacedSink, Publish};
use forger_disk::partition::{Kind, Layout, Part};
use forger_disk::qcow2::{Codec, Compression, Options, write_compressed};
use forger_disk::{Guid, Unwatched};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let (Some(root), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err("two arguments are needed: ROOT OUT".into());
    };
    let root: Arc<dyn BlockRead> = Arc::new(FileReader::open(root)?);
    let layout = Layout {
        seed: b"an example".to_vec(),
        parts: vec![Part {
            kind: Kind::guid_named("root-x86-64").unwrap_or(Guid::ZERO),
            name: "root".to_owned(),
            content: Some(root),
            ..Part::default()
        }],
        ..Layout::default()
    };
    let disk = layout.plan()?;
    let compression = Compression {
        codec: Codec::Zstd,
        level: 3,
        threads: 2,
    };
    let publish = Publish {
        force: true,
        sync: true,
    };
    let mut sink = Box::new(PlacedFile::create(out, publish)?);
    let options = Options::default();
    let len = write_compressed(
        &disk.image,
        &options,
        &compression,
        &mut *sink,
        &mut Unwatched,
    )?;
    sink.finish(len)?;
    println!("{} bytes on a disk of {}", len, disk.image.len());
    Ok(())
}
