//! The set-up of a machine on this machine's own KVM, which need not be one that boots kernels.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::watched::Watched;

/// Where the program lies and begins in the guest.
const START: u64 = 0x10_0000;

/// Where it stands in its file: behind the header and the only segment's.
const CODE_AT: u64 = 0x78;

/// The program: a line on the serial port, then power-off.
#[rustfmt::skip]
const CODE: [u8; 22] = [
    0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xb0, 0x21,             // mov al, '!'
    0xee,                   // out dx, al
    0xb0, 0x0a,             // mov al, '\n'
    0xee,                   // out dx, al
    0x66, 0xba, 0x00, 0x06, // mov dx, 0x600
    0xb0, 0x34,             // mov al, 0x34: sleep, and stay off
    0xee,                   // out dx, al
    0xf4,                   // hlt
    0xeb, 0xfd,             // jmp to it
    0, 0,
];

/// By what a kernel is known.
const BANNER: &[u8] = b"Linux version 0-canary ";

/// Returns the median of the time until the program has said its line, in words.
///
/// # Errors
/// Why it cannot be measured here.
pub(super) fn measure(monitor: &Path, kernel: &Path, rounds: usize) -> Result<String, String> {
    if !Path::new("/dev/kvm").exists() {
        return Err("skipped: there is no /dev/kvm".to_owned());
    }
    fs::write(kernel, elf()).map_err(|error| format!("{}: {error}", kernel.display()))?;
    let mut times = Vec::new();
    for _ in 0..rounds.max(3) {
        let mut command = Command::new(monitor);
        command.arg(kernel).arg("/dev/null");
        let said = Watched::start(command).and_then(|watched| watched.until("!"));
        times.push(said.map_err(|why| format!("skipped: {why}"))?);
    }
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    Ok(format!("{:.1} ms", median.as_secs_f64() * 1000.0))
}

/// Makes an ELF of the program, as a kernel that is entered with 64 bits.
fn elf() -> Vec<u8> {
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    file.resize(16, 0);
    let len = u64::try_from(CODE.len() + BANNER.len()).unwrap_or(0);
    // A program for x86-64.
    file.extend(2_u16.to_le_bytes());
    file.extend(62_u16.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    // Where it begins, where its segments' headers stand, no sections, no flags.
    for value in [START, 0x40, 0] {
        file.extend(value.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for value in [0x40_u16, 0x38, 1, 0x40, 0, 0] {
        file.extend(value.to_le_bytes());
    }
    // The segment: loaded, executable and readable.
    file.extend(1_u32.to_le_bytes());
    file.extend(5_u32.to_le_bytes());
    for value in [CODE_AT, START, START, len, len, 0x1000] {
        file.extend(value.to_le_bytes());
    }
    file.extend(CODE);
    file.extend(BANNER);
    file
}
