//! Devices driven by whoever pleases, without KVM: for fuzzing.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use forger_block::{BlockRead, Overlay};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::{Block, Console, Entropy, Worker};
use crate::backend::Disk;
use crate::backend::kvm::end::End;
use crate::backend::kvm::seccomp::Thread;

/// How much memory the guest has in bytes.
pub const MEMORY: usize = 1 << 20;

/// A device to drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A disk of 1 MiB, changes to which take at most as much.
    Block,
    /// The channel; the host says something, and listens.
    Console,
    /// Random bytes.
    Entropy,
}

/// What a guest does.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// It writes a register.
    Write(u64, u32),
    /// It reads one.
    Read(u64),
    /// It says that there is something in the queues, and gives the device time to look.
    Notify,
    /// It changes its memory.
    Change(u64, u64),
}

/// Lets a guest with this memory do these things with a device, and ends its machine; returns when all threads have
/// ended.
///
/// # Panics
/// When the host has no files or threads left.
pub fn drive(kind: Kind, memory: &[u8], steps: &[Step]) {
    let ranges = [(GuestAddress(0), MEMORY)];
    let guest = GuestMemoryMmap::<()>::from_ranges(&ranges).expect("1 MiB is there");
    let len = memory.len().min(MEMORY);
    guest
        .write_slice(&memory[..len], GuestAddress(0))
        .expect("it is no longer than memory");
    let line = EventFd::new(EFD_NONBLOCK).expect("files are left");
    let (mut host, stream) = UnixStream::pair().expect("files are left");
    let end = Arc::new(End::default());
    let (worker, mut registers) = match kind {
        Kind::Block => {
            let base: Arc<dyn BlockRead> = Arc::new(vec![7; MEMORY]);
            let store = Overlay::in_memory(base, 1 << 20);
            let disk = Disk {
                store: Arc::new(store),
                read_only: false,
            };
            let block = Block::new(&disk, Arc::default());
            Worker::spawn(block, &guest, line, Thread::Disk, &end)
        }
        Kind::Console => {
            let console = Console::new(stream.try_clone().expect("files are left"));
            let console = console.expect("a socket can be told not to block");
            Worker::spawn(console, &guest, line, Thread::Channel, &end)
        }
        Kind::Entropy => {
            let zeros = std::fs::File::open("/dev/zero").expect("it is on every machine");
            Worker::spawn(Entropy(zeros), &guest, line, Thread::Entropy, &end)
        }
    }
    .expect("threads are left");
    drop(stream);
    // Whoever listens at the other end takes everything, and says something.
    let listener = thread::spawn(move || {
        use std::io::Write;
        let _ = host.write_all(&[1; 5000]);
        let _ = host.read_to_end(&mut Vec::new());
    });
    for step in steps {
        match *step {
            Step::Write(offset, value) => registers.write(offset, &value.to_le_bytes()),
            Step::Read(offset) => registers.read(offset, &mut [0; 4]),
            Step::Notify => {
                registers.notify();
                thread::yield_now();
            }
            Step::Change(at, value) => {
                // What lies outside of its memory a guest cannot change.
                let _ = guest.write_obj(value, GuestAddress(at));
            }
        }
    }
    drop(worker);
    assert!(!end.is_set(), "the device's thread panicked");
    listener.join().expect("the listener does not panic");
}
