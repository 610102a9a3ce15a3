//! A client that sends anything, to a disk under an overlay.
//!
//! Oracle: serving comes to an end without a panic; the base stays as it is; what is sent back is no
//! more than what was asked for allows; and after requests that are well formed the disk holds what a
//! plain buffer holds after the same ones. The input's first byte chooses: an even one sends the rest
//! as it is, an odd one makes a handshake and requests of it, 8 bytes each.
#![no_main]

use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;

use forger_block::{BlockRead, Overlay};
use forger_disk::Disk;
use forger_disk::nbd::{Export, Limits, serve};
use libfuzzer_sys::fuzz_target;

/// Length of the disk, in bytes: odd, and several pieces of a reply.
const SIZE: usize = (3 << 20) + 77;
/// The longest request of the made ones, in bytes.
const LONGEST: usize = 5000;

struct Line {
    sent: Cursor<Vec<u8>>,
    got: u64,
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.sent.read(buffer)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.got += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, input)) = input.split_first() else {
        return;
    };
    let base = Arc::new(base());
    let shared: Arc<dyn BlockRead> = Arc::<Vec<u8>>::clone(&base);
    let overlay = Arc::new(Overlay::in_memory(shared, 1 << 30));
    let export = Export::new(Disk::Writable(Arc::<Overlay>::clone(&overlay)));
    let (sent, expected) = match choice % 2 {
        0 => (input.to_vec(), None),
        _ => {
            let (sent, expected) = made(input, choice & 2 == 0);
            (sent, Some(expected))
        }
    };
    // 32 MiB for every 28 bytes.
    let most = (sent.len() as u64 / 28 + 1) * ((32 << 20) + 4096) + (1 << 20);
    let mut line = Line {
        sent: Cursor::new(sent),
        got: 0,
    };
    let ended = serve(&mut line, &[export], &Limits::default());
    assert!(line.got <= most, "{} bytes sent back", line.got);
    assert!(*base == self::base(), "the base changed");
    if let Some(expected) = expected {
        assert!(matches!(ended, Ok(Some(_))), "{ended:?}");
        let mut found = vec![0xa5; SIZE];
        overlay.read_at(0, &mut found).expect("it can be read");
        assert!(found == expected, "the disk is not what was written");
    }
});

fn base() -> Vec<u8> {
    let mut base = vec![0; SIZE];
    base[1 << 20..2 << 20].fill(9);
    base
}

/// Makes a handshake and requests, and what the disk holds after them.
fn made(input: &[u8], structured: bool) -> (Vec<u8>, Vec<u8>) {
    let mut disk = base();
    let mut sent = 3_u32.to_be_bytes().to_vec();
    let mut option = |number: u32, data: &[u8]| {
        sent.extend(b"IHAVEOPT");
        sent.extend(number.to_be_bytes());
        sent.extend((data.len() as u32).to_be_bytes());
        sent.extend(data);
    };
    if structured {
        option(8, &[]);
    }
    option(7, &[0; 6]);
    for request in input.chunks_exact(8) {
        let word = |at: usize| usize::from(request[at]) | usize::from(request[at + 1]) << 8;
        let command = [0_u16, 1, 1, 3, 4, 5, 6, 6][usize::from(request[0] % 8)];
        let offset = (word(1) << 6 | word(3)) % SIZE;
        let len = (word(5) % LONGEST).min(SIZE - offset);
        // Half of the zeroes shall take room; writes and zeroes are durable now and then.
        let flags = match command {
            6 => u16::from(request[7] & 3),
            1 => u16::from(request[7] & 1),
            _ => 0,
        };
        sent.extend(0x2560_9513_u32.to_be_bytes());
        sent.extend(flags.to_be_bytes());
        sent.extend(command.to_be_bytes());
        sent.extend([0; 8]);
        sent.extend((offset as u64).to_be_bytes());
        sent.extend((len as u32).to_be_bytes());
        let range = offset..offset + len;
        match command {
            1 => {
                let data = vec![request[7]; len];
                sent.extend(&data);
                disk[range].copy_from_slice(&data);
            }
            // The overlay's discard is an erase.
            4 | 6 => disk[range].fill(0),
            _ => {}
        }
    }
    (sent, disk)
}
