//! A machine monitor that says anything, with the memory of a guest that holds anything.
//!
//! Oracle: serving it comes to an end by itself once the monitor has nothing more to say, without a panic; the
//! base stays as it is; what the monitor handed over is closed. The first byte says whether the monitor begins
//! as a real one does, and whether the disk can be written to; the rest are messages, and the start of the
//! guest's memory, which both lie in the same bytes.
#![no_main]

use std::io::{IoSlice, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use forger_block::{BlockRead, Overlay};
use forger_disk::{Disk, vhost_user};
use libfuzzer_sys::fuzz_target;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// Length of the guest's memory, and where the monitor has it.
const MEMORY: u64 = 128 << 10;
const AT: u64 = 0x7000_0000;

/// Numbers of messages that bring descriptors.
const SET_MEM_TABLE: u32 = 5;
const SET_VRING_KICK: u32 = 12;
const SET_VRING_CALL: u32 = 13;
const BACKEND_REQ_FD: u32 = 21;

/// The monitor's end.
struct Monitor {
    socket: UnixStream,
    memory: std::fs::File,
    kick: UnixStream,
    call: UnixStream,
}

impl Monitor {
    fn send(&self, request: u32, flags: u32, payload: &[u8], descriptors: bool) {
        let len = u32::try_from(payload.len()).expect("it is short");
        let header = [request, flags, len].map(u32::to_ne_bytes).concat();
        let memory = self.memory.as_fd();
        let regions = payload.first().copied().unwrap_or(0).min(8);
        let files: Vec<BorrowedFd<'_>> = match request {
            _ if !descriptors => Vec::new(),
            SET_MEM_TABLE => vec![memory; usize::from(regions)],
            SET_VRING_KICK => vec![self.kick.as_fd()],
            SET_VRING_CALL | BACKEND_REQ_FD => vec![self.call.as_fd()],
            _ => Vec::new(),
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&files));
        }
        // A server that has had enough is gone.
        let parts = [IoSlice::new(&header), IoSlice::new(payload)];
        let _ = sendmsg(&self.socket, &parts, &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        self.drain();
    }

    /// Takes the answers that are there, so that the server never waits for it.
    fn drain(&self) {
        let mut piece = [0; 4096];
        self.socket.set_nonblocking(true).expect("a socket");
        while matches!((&self.socket).read(&mut piece), Ok(1..)) {}
        self.socket.set_nonblocking(false).expect("a socket");
    }

    /// Does what a real one does until the queue runs.
    fn begin(&self) {
        let words = |words: &[u64]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_ne_bytes()).collect()
        };
        let pair = |high: u64| words(&[high << 32]);
        self.send(3, 1, &[], false);
        self.send(16, 1, &words(&[1 << 3 | 1 << 9]), false);
        self.send(2, 1, &words(&[1 << 30 | 1 << 32]), false);
        self.send(SET_MEM_TABLE, 1, &words(&[1, 0, MEMORY, AT, 0]), true);
        self.send(8, 1, &pair(16), false);
        self.send(9, 1, &words(&[0, AT, AT + 0x400, AT + 0x200, 0]), false);
        self.send(10, 1, &pair(0), false);
        self.send(SET_VRING_CALL, 1, &words(&[0]), true);
        self.send(SET_VRING_KICK, 1, &words(&[0]), true);
        self.send(18, 1, &pair(1), false);
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, input)) = input.split_first() else {
        return;
    };
    let base = Arc::new(vec![5_u8; 64 << 10]);
    let shared: Arc<dyn BlockRead> = Arc::<Vec<u8>>::clone(&base);
    let disk = match choice & 1 {
        0 => Disk::ReadOnly(shared),
        _ => Disk::Writable(Arc::new(Overlay::in_memory(shared, 1 << 20))),
    };
    let pair = || UnixStream::pair().expect("sockets");
    let ((socket, server), (kick, mut kicks)) = (pair(), pair());
    let (call, mut called) = pair();
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let memory = rustix::fs::memfd_create("guest", flags).expect("memory");
    let mut memory = std::fs::File::from(memory);
    memory.set_len(MEMORY).expect("memory");
    memory.write_all(&input[..input.len().min(64 << 10)]).expect("memory");
    memory.rewind().expect("memory");
    let monitor = Monitor { socket, memory, kick, call };
    let connection = vhost_user::connected(disk, server).expect("a whole number of sectors");
    if choice & 2 != 0 {
        monitor.begin();
    }
    let mut rest = input;
    for _ in 0..64 {
        let Some((&[request, flags, len], behind)) = rest.split_first_chunk() else {
            break;
        };
        let payload = behind.get(..usize::from(len)).unwrap_or(behind);
        rest = &behind[payload.len()..];
        // One of the known version, as a rule.
        let version = if flags & 0x80 == 0 { 1 } else { u32::from(flags) };
        // A server that has gone cannot be kicked.
        let _ = kicks.write(&1_u64.to_ne_bytes());
        monitor.send(u32::from(request % 30), version | u32::from(flags & 8), payload, flags & 0x20 == 0);
    }
    monitor.socket.shutdown(Shutdown::Write).expect("a socket");
    let _ = connection.wait();
    assert!(base.iter().all(|&byte| byte == 5), "the base changed");
    // Both ends of what told the guest are gone with monitor and server.
    drop(monitor);
    called.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");
    let mut told = Vec::new();
    assert!(called.read_to_end(&mut told).is_ok(), "a descriptor stayed open");
});
