//! A guest that writes anything into the registers of a virtio device, with queues that hold anything.
//!
//! Oracle: the device's thread comes to an end once the machine does, without a panic, and nothing outside of the
//! guest's memory is read or written (the memory's own checks panic otherwise). The first byte says which device it
//! is and whether the driver begins as a real one does; the rest are steps, and the guest's memory, which both lie
//! in the same bytes.
#![no_main]

use forger_vm::kvm::fuzz::{Kind, MEMORY, Step, drive};
use libfuzzer_sys::fuzz_target;

/// Where the queues lie if the driver begins as a real one does: descriptors, available, used.
const QUEUES: [[u64; 3]; 4] = [
    [0x0000, 0x0100, 0x0200],
    [0x0300, 0x0400, 0x0500],
    [0x0600, 0x0700, 0x0800],
    [0x0900, 0x0a00, 0x0b00],
];

/// Agrees on everything that there is, and starts queues of 8 descriptors.
fn begin(steps: &mut Vec<Step>) {
    use Step::Write;
    steps.extend([Write(0x70, 0), Write(0x70, 1), Write(0x70, 3)]);
    steps.extend([Write(0x24, 1), Write(0x20, 1), Write(0x70, 11)]);
    for (number, [descriptors, available, used]) in (0..).zip(QUEUES) {
        steps.extend([Write(0x30, number), Write(0x38, 8)]);
        for (register, address) in [(0x80, descriptors), (0x90, available), (0xa0, used)] {
            let low = u32::try_from(address).expect("it is less than 4 GiB");
            steps.extend([Write(register, low), Write(register + 4, 0)]);
        }
        steps.push(Write(0x44, 1));
    }
    steps.extend([Write(0x70, 15), Step::Notify]);
}

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let kind = match first & 3 {
        0 => Kind::Entropy,
        1 => Kind::Console,
        _ => Kind::Block,
    };
    let mut steps = Vec::new();
    if first & 4 != 0 {
        begin(&mut steps);
    }
    for step in rest.chunks_exact(12).take(256) {
        let at = u64::from(u16::from_le_bytes([step[1], step[2]]));
        let value = u64::from_le_bytes(step[4..].try_into().expect("8 bytes"));
        let low = u32::try_from(value & 0xffff_ffff).expect("it is masked");
        steps.push(match step[0] & 3 {
            0 => Step::Write(at & 0x1ff, low),
            1 => Step::Read(at & 0x1ff),
            2 => Step::Change(at & 0xfff, value),
            _ => Step::Notify,
        });
    }
    assert!(rest.len() < MEMORY);
    drive(kind, rest, &steps);
});
