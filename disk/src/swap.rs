//! Swap areas, as `mkswap` makes them: a header in the first page, the rest is free.
//!
//! See `union swap_header` in the kernel's `include/linux/swap.h`, and mkswap(8).
//!
//! ```text
//! 0x000 room for a boot loader   0x400 version, last page, bad pages, uuid, label   0xff6 "SWAPSPACE2"
//! ```

use forger_block::{Bytes, MAX_LEN, SparseImage};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Guid;

/// Bytes in a page: of x86-64, and of most others.
const PAGE: u64 = 4096;
/// Pages that the kernel wants at least.
const LEAST: u64 = 10;
/// Where the header stands in the first page.
const AT: usize = 0x400;
/// Bytes that the label has room for.
const LABEL: usize = 16;

/// The header as it stands on disk, from 0x400 on.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHeader {
    /// 0x400: 1.
    version: U32,
    /// 0x404: the last page that can be used.
    last_page: U32,
    /// 0x408: how many pages are bad.
    nr_badpages: U32,
    /// 0x40c: the uuid.
    sws_uuid: [u8; 16],
    /// 0x41c: the label, padded with zeros.
    sws_volume: [u8; LABEL],
    /// 0x42c: zeros.
    padding: [u8; 468],
    /// 0x600: the bad pages, of which there are none; zeros.
    badpages: [u8; 2550],
    /// 0xff6: the signature.
    magic: [u8; 10],
}

const _: () = assert!(size_of::<RawHeader>() == 4096 - AT);
const _: () = assert!(std::mem::offset_of!(RawHeader, badpages) == 0x600 - AT);
const _: () = assert!(std::mem::offset_of!(RawHeader, magic) == 0xff6 - AT);

/// Why a swap area cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SwapError {
    /// It is too small or too large.
    #[error("a swap area of {len} bytes: 40 KiB to 16 TiB are possible")]
    Len {
        /// Its length in bytes.
        len: u64,
    },
    /// The label is too long.
    #[error("the label {label:?} has {} bytes; a swap area holds 16", .label.len())]
    Label {
        /// The label.
        label: String,
    },
}

/// Plans a swap area.
///
/// ```
/// use forger_block::BlockRead;
/// use forger_disk::{Guid, swap};
///
/// let area = swap(1 << 20, Guid::derived(b"seed", "swap"), "swap")?;
/// let mut magic = [0; 10];
/// area.read_at(4086, &mut magic)?;
/// assert_eq!(&magic, b"SWAPSPACE2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Lengths that the kernel does not take, and labels of more than 16 bytes.
pub fn swap(len: u64, uuid: Guid, label: &str) -> Result<SparseImage, SwapError> {
    let pages = len / PAGE;
    let last = u32::try_from(pages.saturating_sub(1));
    let (true, Ok(last), true) = (pages >= LEAST, last, len <= MAX_LEN) else {
        return Err(SwapError::Len { len });
    };
    let mut volume = [0; LABEL];
    let Some(room) = volume.get_mut(..label.len()) else {
        let label = label.to_owned();
        return Err(SwapError::Label { label });
    };
    room.copy_from_slice(label.as_bytes());
    let header = RawHeader {
        version: 1.into(),
        last_page: last.into(),
        nr_badpages: 0.into(),
        sws_uuid: uuid.to_bytes(),
        sws_volume: volume,
        padding: [0; 468],
        badpages: [0; 2550],
        magic: *b"SWAPSPACE2",
    };
    let mut page = vec![0; AT];
    page.extend_from_slice(header.as_bytes());
    let mut image = SparseImage::builder();
    let placed = image.bytes(0, Bytes::from(page));
    placed
        .and_then(|()| image.finish(len))
        .map_err(|_| SwapError::Len { len })
}

#[cfg(test)]
mod tests {
    use forger_block::BlockRead;

    use super::*;

    #[test]
    fn the_header_is_where_mkswap_puts_it() {
        let uuid = Guid::new(0x00112233_4455_6677_8899_aabbccddeeff);
        let area = swap(1 << 20, uuid, "spare").unwrap();
        assert_eq!(BlockRead::len(&area), 1 << 20);
        let mut page = [0; 4096];
        area.read_at(0, &mut page).unwrap();
        assert_eq!(page[0x400..0x40c], [1, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(page[0x40c..0x410], [0, 0x11, 0x22, 0x33]);
        assert_eq!(&page[0x41c..0x422], b"spare\0");
        assert_eq!(&page[0xff6..], b"SWAPSPACE2");
        assert!(page[0x42c..0xff6].iter().all(|byte| *byte == 0));
        assert_eq!(area.covered(), 4096);
    }

    #[test]
    fn impossible_lengths_and_labels_are_refused() {
        let make = |len, label| swap(len, Guid::ZERO, label).map(drop);
        assert_eq!(make(40_959, ""), Err(SwapError::Len { len: 40_959 }));
        assert!(make(40_960, "sixteen bytes it").is_ok());
        assert!(make(1 << 44, "").is_ok());
        assert!(make((1 << 44) + 4096, "").is_err());
        assert!(make(1 << 20, "seventeen bytes i").is_err());
    }
}
