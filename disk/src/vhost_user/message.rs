//! What goes over the socket, by the names of the specification.
//!
//! Numbers have the byte order of the machine: both ends run on the same one.

use zerocopy::native_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The longest payload that is taken, in bytes: a table of eight regions has 264.
pub(super) const MAX_PAYLOAD: u32 = 4096;
/// The most regions of memory that a monitor can share.
pub(super) const MAX_REGIONS: usize = 8;

/// Numbers of the requests.
pub(super) mod request {
    pub(in super::super) const GET_FEATURES: u32 = 1;
    pub(in super::super) const SET_FEATURES: u32 = 2;
    pub(in super::super) const SET_OWNER: u32 = 3;
    pub(in super::super) const RESET_OWNER: u32 = 4;
    pub(in super::super) const SET_MEM_TABLE: u32 = 5;
    pub(in super::super) const SET_VRING_NUM: u32 = 8;
    pub(in super::super) const SET_VRING_ADDR: u32 = 9;
    pub(in super::super) const SET_VRING_BASE: u32 = 10;
    pub(in super::super) const GET_VRING_BASE: u32 = 11;
    pub(in super::super) const SET_VRING_KICK: u32 = 12;
    pub(in super::super) const SET_VRING_CALL: u32 = 13;
    pub(in super::super) const SET_VRING_ERR: u32 = 14;
    pub(in super::super) const GET_PROTOCOL_FEATURES: u32 = 15;
    pub(in super::super) const SET_PROTOCOL_FEATURES: u32 = 16;
    pub(in super::super) const GET_QUEUE_NUM: u32 = 17;
    pub(in super::super) const SET_VRING_ENABLE: u32 = 18;
    pub(in super::super) const SET_BACKEND_REQ_FD: u32 = 21;
    pub(in super::super) const GET_CONFIG: u32 = 24;
    pub(in super::super) const SET_CONFIG: u32 = 25;
}

/// Flags of a message: two bits of version, which is 1.
pub(super) mod flag {
    pub(in super::super) const VERSION_MASK: u32 = 0b11;
    pub(in super::super) const VERSION: u32 = 1;
    pub(in super::super) const REPLY: u32 = 1 << 2;
    pub(in super::super) const NEED_REPLY: u32 = 1 << 3;
}

/// The feature, beside those of the device, that says that there are protocol features.
pub(super) const F_PROTOCOL_FEATURES: u64 = 1 << 30;

/// What the two ends can agree on.
pub(super) mod protocol_feature {
    pub(in super::super) const REPLY_ACK: u64 = 1 << 3;
    /// A way back, which this server never goes. User-Mode Linux has interrupts only if it exists.
    pub(in super::super) const BACKEND_REQ: u64 = 1 << 5;
    pub(in super::super) const CONFIG: u64 = 1 << 9;
}

/// A descriptor's message that brings none: bit 8 of its number.
pub(super) const NO_FD: u64 = 1 << 8;

/// The start of a message.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawHeader {
    /// 0x00
    pub(super) request: U32,
    /// 0x04
    pub(super) flags: U32,
    /// 0x08: of the payload, in bytes.
    pub(super) size: U32,
}

const _: () = assert!(size_of::<RawHeader>() == 12);

/// The state of a ring: its number and another one.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawState {
    /// 0x00
    pub(super) index: U32,
    /// 0x04
    pub(super) num: U32,
}

/// Where a ring lies, in the monitor's own addresses.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawAddresses {
    /// 0x00
    pub(super) index: U32,
    /// 0x04
    pub(super) flags: U32,
    /// 0x08
    pub(super) descriptors: U64,
    /// 0x10
    pub(super) used: U64,
    /// 0x18
    pub(super) available: U64,
    /// 0x20
    pub(super) log: U64,
}

const _: () = assert!(size_of::<RawAddresses>() == 40);

/// The start of a table of memory.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawTable {
    /// 0x00: how many regions follow; there may be room for more behind them.
    pub(super) count: U32,
    /// 0x04
    pub(super) padding: U32,
}

/// A region of memory.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawRegion {
    /// 0x00: as the guest sees it.
    pub(super) guest_address: U64,
    /// 0x08: in bytes.
    pub(super) size: U64,
    /// 0x10: as the monitor sees it.
    pub(super) user_address: U64,
    /// 0x18: in the file that comes along, in bytes.
    pub(super) offset: U64,
}

const _: () = assert!(size_of::<RawRegion>() == 32);

/// The start of a piece of the configuration space; its bytes follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawConfig {
    /// 0x00
    pub(super) offset: U32,
    /// 0x04
    pub(super) size: U32,
    /// 0x08
    pub(super) flags: U32,
}

/// A message as it came.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) request: u32,
    pub(super) needs_reply: bool,
    pub(super) payload: Vec<u8>,
}

impl Message {
    /// Returns what the payload begins with.
    pub(super) fn get<T: FromBytes + Immutable + KnownLayout + Unaligned + Copy>(
        &self,
    ) -> Result<T, super::Error> {
        T::read_from_prefix(&self.payload)
            .map(|(value, _)| value)
            .map_err(|_| self.wrong("is too short"))
    }

    /// Says what is wrong with it.
    pub(super) fn wrong(&self, why: &'static str) -> super::Error {
        super::Error::Message {
            request: self.request,
            why,
        }
    }
}
