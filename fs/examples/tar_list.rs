//! Lists a tar archive of any compression: `cargo run -p forger-fs --example tar_list -- rootfs.tar`.

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};

use forger_fs::decompress;
use forger_fs::source::{BodyRun, Source};
use forger_fs::tar::Reader;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os()
        .nth(1)
        .ok_or("usage: tar_list ARCHIVE")?;
    let input = decompress::open(File::open(path)?, &decompress::Options::default())?;
    let mut reader = Reader::new(input);
    let mut out = io::BufWriter::new(io::stdout().lock());
    while let Some(entry) = reader.next_entry()? {
        let (mut data, mut holes) = (0u64, 0u64);
        while let Some(run) = reader.next_run()? {
            match run {
                BodyRun::Data { bytes, .. } => data += u64::try_from(bytes.len())?,
                BodyRun::Hole(len) => holes += len,
            }
        }
        let (meta, name) = (&entry.meta, entry.path.escape_ascii());
        let (mode, uid, gid) = (meta.mode, meta.uid, meta.gid);
        writeln!(
            out,
            "{mode:04o} {uid}/{gid} {name} {:?}: {data} bytes, {holes} in holes",
            entry.kind
        )?;
    }
    for note in reader.take_notes() {
        eprintln!("note: {note}");
    }
    Ok(())
}
