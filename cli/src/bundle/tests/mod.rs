//! Making bundles and opening them, end to end in memory.
#[expect(
    clippy::cast_possible_truncation,
    reason = "images of a few hundred KiB"
)]
mod making;
mod opening;

use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use forger_block::BlockSink;

use super::BundleFile;

/// A file in memory that insists on being filled without reading what was never written.
#[derive(Debug, Default)]
struct Memory(Mutex<Vec<u8>>);

impl Memory {
    fn take(self) -> Vec<u8> {
        self.0.into_inner().expect("not poisoned")
    }
}

impl BundleFile for Memory {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> forger_block::Result<()> {
        let bytes = self.0.lock().expect("not poisoned");
        let start = usize::try_from(offset).expect("small");
        buf.copy_from_slice(&bytes[start..start + buf.len()]);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> forger_block::Result<()> {
        let mut bytes = self.0.lock().expect("not poisoned");
        let start = usize::try_from(offset).expect("small");
        if bytes.len() < start + data.len() {
            bytes.resize(start + data.len(), 0xee);
        }
        bytes[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn set_len(&self, len: u64) -> forger_block::Result<()> {
        let len = usize::try_from(len).expect("small");
        self.0.lock().expect("not poisoned").resize(len, 0);
        Ok(())
    }
}

/// An image in memory, and where its holes are.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    holes: Vec<Range<u64>>,
}

impl BlockSink for Kept {
    fn position(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn write(&mut self, data: &[u8]) -> forger_block::Result<()> {
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    fn skip(&mut self, len: u64) -> forger_block::Result<()> {
        let start = self.position();
        self.holes.push(start..start + len);
        self.bytes
            .resize(usize::try_from(start + len).expect("small"), 0);
        Ok(())
    }

    fn finish(self: Box<Self>) -> forger_block::Result<()> {
        Ok(())
    }
}

/// Runs a tool on a bundle as its standard input; `None` where it is missing.
fn judge(program: &str, args: &[&str], input: &Path) -> Option<Vec<u8>> {
    let input = std::fs::File::open(input).expect("a bundle");
    let run = Command::new(program)
        .args(args)
        .stdin(Stdio::from(input))
        .output();
    match run {
        Ok(output) => {
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success() && complaint.is_empty(),
                "{program}: {complaint}"
            );
            Some(output.stdout)
        }
        Err(error) => {
            let required = std::env::var_os("REQUIRE_TOOLS").is_some_and(|value| value == "1");
            assert!(!required, "{program}: {error}");
            eprintln!("skipped: {program}: {error}");
            None
        }
    }
}
