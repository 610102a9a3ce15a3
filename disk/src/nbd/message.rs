//! What goes over the wire, by the names of the specification; all numbers are big-endian.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a server says first.
pub(super) const NBDMAGIC: u64 = u64::from_be_bytes(*b"NBDMAGIC");
/// What a newstyle server says next, and every option begins with.
pub(super) const IHAVEOPT: u64 = u64::from_be_bytes(*b"IHAVEOPT");
/// What an answer to an option begins with.
pub(super) const REPLY: u64 = 0x0003_e889_0455_65a9;
/// What a request begins with.
pub(super) const REQUEST: u32 = 0x2560_9513;
/// What a simple reply begins with.
pub(super) const SIMPLE_REPLY: u32 = 0x6744_6698;
/// What a chunk of a structured reply begins with.
pub(super) const STRUCTURED_REPLY: u32 = 0x668e_33ef;

/// Flags of the handshake, from the server and back from the client.
pub(super) mod handshake_flag {
    pub(in super::super) const FIXED_NEWSTYLE: u16 = 1 << 0;
    pub(in super::super) const NO_ZEROES: u16 = 1 << 1;
}

/// What a client can ask for before it has chosen an export.
pub(super) mod option {
    pub(in super::super) const EXPORT_NAME: u32 = 1;
    pub(in super::super) const ABORT: u32 = 2;
    pub(in super::super) const LIST: u32 = 3;
    pub(in super::super) const INFO: u32 = 6;
    pub(in super::super) const GO: u32 = 7;
    pub(in super::super) const STRUCTURED_REPLY: u32 = 8;
    pub(in super::super) const LIST_META_CONTEXT: u32 = 9;
    pub(in super::super) const SET_META_CONTEXT: u32 = 10;
}

/// What is answered to an option.
pub(super) mod answer {
    pub(in super::super) const ACK: u32 = 1;
    pub(in super::super) const SERVER: u32 = 2;
    pub(in super::super) const INFO: u32 = 3;
    pub(in super::super) const META_CONTEXT: u32 = 4;
    const ERROR: u32 = 1 << 31;
    pub(in super::super) const ERR_UNSUP: u32 = ERROR | 1;
    pub(in super::super) const ERR_INVALID: u32 = ERROR | 3;
    pub(in super::super) const ERR_UNKNOWN: u32 = ERROR | 6;
}

/// What is told about an export.
pub(super) mod info {
    pub(in super::super) const EXPORT: u16 = 0;
    pub(in super::super) const NAME: u16 = 1;
    pub(in super::super) const DESCRIPTION: u16 = 2;
    pub(in super::super) const BLOCK_SIZE: u16 = 3;
}

/// What an export can do.
pub(super) mod transmission_flag {
    pub(in super::super) const HAS_FLAGS: u16 = 1 << 0;
    pub(in super::super) const READ_ONLY: u16 = 1 << 1;
    pub(in super::super) const SEND_FLUSH: u16 = 1 << 2;
    pub(in super::super) const SEND_FUA: u16 = 1 << 3;
    pub(in super::super) const SEND_TRIM: u16 = 1 << 5;
    pub(in super::super) const SEND_WRITE_ZEROES: u16 = 1 << 6;
    pub(in super::super) const SEND_DF: u16 = 1 << 7;
    pub(in super::super) const CAN_MULTI_CONN: u16 = 1 << 8;
    pub(in super::super) const SEND_CACHE: u16 = 1 << 10;
}

/// What a client can ask an export for.
pub(super) mod command {
    pub(in super::super) const READ: u16 = 0;
    pub(in super::super) const WRITE: u16 = 1;
    pub(in super::super) const DISC: u16 = 2;
    pub(in super::super) const FLUSH: u16 = 3;
    pub(in super::super) const TRIM: u16 = 4;
    pub(in super::super) const CACHE: u16 = 5;
    pub(in super::super) const WRITE_ZEROES: u16 = 6;
    pub(in super::super) const BLOCK_STATUS: u16 = 7;
}

/// How it shall be done.
pub(super) mod command_flag {
    pub(in super::super) const FUA: u16 = 1 << 0;
    pub(in super::super) const NO_HOLE: u16 = 1 << 1;
    pub(in super::super) const DF: u16 = 1 << 2;
    pub(in super::super) const REQ_ONE: u16 = 1 << 3;
}

/// What a chunk of a structured reply holds.
pub(super) mod chunk {
    pub(in super::super) const DONE: u16 = 1 << 0;
    pub(in super::super) const NONE: u16 = 0;
    pub(in super::super) const OFFSET_DATA: u16 = 1;
    pub(in super::super) const OFFSET_HOLE: u16 = 2;
    pub(in super::super) const BLOCK_STATUS: u16 = 5;
    pub(in super::super) const ERROR: u16 = (1 << 15) | 1;
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errno {
    Perm,
    Io,
    Invalid,
    NoSpace,
}

impl Errno {
    /// Returns the number that the specification gives it.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Perm => 1,
            Self::Io => 5,
            Self::Invalid => 22,
            Self::NoSpace => 28,
        }
    }
}

/// The start of an option.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawOption {
    /// 0x00
    pub(super) magic: U64,
    /// 0x08
    pub(super) option: U32,
    /// 0x0c: of the data that follow, in bytes.
    pub(super) len: U32,
}

const _: () = assert!(size_of::<RawOption>() == 16);

/// The start of an answer to an option.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawAnswer {
    /// 0x00
    pub(super) magic: U64,
    /// 0x08
    pub(super) option: U32,
    /// 0x0c
    pub(super) answer: U32,
    /// 0x10: of the data that follow, in bytes.
    pub(super) len: U32,
}

const _: () = assert!(size_of::<RawAnswer>() == 20);

/// A request; the data of a write follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawRequest {
    /// 0x00
    pub(super) magic: U32,
    /// 0x04
    pub(super) flags: U16,
    /// 0x06
    pub(super) command: U16,
    /// 0x08: comes back with the reply.
    pub(super) cookie: U64,
    /// 0x10: in bytes.
    pub(super) offset: U64,
    /// 0x18: in bytes.
    pub(super) len: U32,
}

const _: () = assert!(size_of::<RawRequest>() == 28);

/// A simple reply; the data of a read follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawSimpleReply {
    /// 0x00
    pub(super) magic: U32,
    /// 0x04
    pub(super) error: U32,
    /// 0x08
    pub(super) cookie: U64,
}

const _: () = assert!(size_of::<RawSimpleReply>() == 16);

/// The start of a chunk of a structured reply.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawChunk {
    /// 0x00
    pub(super) magic: U32,
    /// 0x04
    pub(super) flags: U16,
    /// 0x06
    pub(super) kind: U16,
    /// 0x08
    pub(super) cookie: U64,
    /// 0x10: of the data that follow, in bytes.
    pub(super) len: U32,
}

const _: () = assert!(size_of::<RawChunk>() == 20);
