//! The network that never leaves the guest.
#![expect(
    unsafe_code,
    reason = "no library sets an interface's flags without it"
)]

use std::io;

use rustix::ioctl::{Setter, ioctl};
use rustix::net::{AddressFamily, SocketType, socket};

/// Sets an interface's flags, `SIOCSIFFLAGS` of `netdevice(7)`.
const SET_FLAGS: rustix::ioctl::Opcode = 0x8914;

/// The interface is up.
const UP: i16 = 1;

/// The part of `struct ifreq` that flags need, as long as the whole.
#[repr(C)]
#[derive(Debug)]
struct Request {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

const _: () = assert!(size_of::<Request>() == 40);

/// Brings the interface `lo` up.
pub(crate) fn up() -> io::Result<()> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let mut name = [0; 16];
    name[..2].copy_from_slice(b"lo");
    let request = Request {
        name,
        flags: UP,
        rest: [0; 22],
    };
    // SAFETY: the request is a whole `struct ifreq` with a name that ends, which is all that
    // SIOCSIFFLAGS reads.
    unsafe { ioctl(socket, Setter::<SET_FLAGS, Request>::new(request))? };
    Ok(())
}
