//! PE32+ programs: further sections behind those that are there (Microsoft's "PE Format").
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use forger_block::BlockRead;
use forger_fs::tree::Content;

use super::PeError;

/// Bytes of a section's header.
const HEADER: u64 = 40;
/// Initialised data that can be read.
const READ_ONLY_DATA: u32 = 0x4000_0040;
/// Sections start on pages, whatever the program's own alignment: the kernel is one of them.
const PAGE: u64 = 4096;
/// The largest alignment in a file that the format allows, in bytes.
const MAX_FILE_ALIGN: u64 = 64 << 10;
/// How much is read at once for the checksum; even.
const PIECE: usize = 1 << 20;

/// A section to add.
#[derive(Clone, Debug)]
pub(super) struct Section {
    name: &'static str,
    pub(super) content: Content,
}

impl Section {
    pub(super) fn new(name: &'static str, content: Content) -> Self {
        Self { name, content }
    }
}

/// Appends what another content holds.
pub(super) fn append(to: &mut Content, content: &Content) {
    let mut end = 0_u64;
    for span in content.spans() {
        to.push_hole(span.at.saturating_sub(end));
        to.push_span(&span.origin, span.offset, span.len);
        end = span.at.saturating_add(span.len);
    }
    to.push_hole(content.size().saturating_sub(end));
}

/// The fields of a header.
struct Fields(Vec<u8>);

impl Fields {
    fn get(&self, at: u64, len: usize) -> Result<u64, PeError> {
        let short = PeError::NotPe("it ends too early");
        let Ok(at) = usize::try_from(at) else {
            return Err(short);
        };
        let end = at
            .checked_add(len)
            .ok_or(PeError::NotPe("it ends too early"))?;
        let bytes = self.0.get(at..end).ok_or(short)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<(), PeError> {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let end = start.saturating_add(bytes.len());
        let room = self.0.get_mut(start..end);
        room.ok_or(PeError::NotPe("it ends too early"))?
            .copy_from_slice(bytes);
        Ok(())
    }

    fn put_long(&mut self, at: u64, value: u64) -> Result<(), PeError> {
        let value = u32::try_from(value).map_err(|_| PeError::TooLarge)?;
        self.put(at, &value.to_le_bytes())
    }
}

/// Where the fields of a header stand that change, and what they say.
struct Layout {
    /// Of the COFF header.
    coff: u64,
    /// Of the optional header.
    optional: u64,
    /// Of the sections' headers.
    table: u64,
    sections: u64,
    /// Alignment in memory and in the file, in bytes.
    align: u64,
    file_align: u64,
    /// Where the sections end in memory and in the file.
    end: u64,
    file_end: u64,
    /// Where the first section's bytes or the headers' room ends.
    room_end: u64,
}

/// Adds `count` to `base`; for sums of fields of 32 bits.
fn sum(base: u64, count: u64) -> u64 {
    base.saturating_add(count)
}

fn aligned(value: u64, to: u64) -> u64 {
    value.checked_next_multiple_of(to).unwrap_or(u64::MAX)
}

impl Layout {
    fn read(fields: &Fields) -> Result<Self, PeError> {
        if fields.get(0, 2)? != 0x5a4d {
            return Err(PeError::NotPe("it does not begin with MZ"));
        }
        let pe = fields.get(0x3c, 4)?;
        if fields.get(pe, 4)? != 0x4550 {
            return Err(PeError::NotPe("it has no PE header"));
        }
        let coff = sum(pe, 4);
        let optional = sum(coff, 20);
        let sections = fields.get(sum(coff, 2), 2)?;
        let optional_len = fields.get(sum(coff, 16), 2)?;
        if fields.get(optional, 2)? != 0x20b || optional_len < 112 {
            return Err(PeError::NotPe("its optional header is another one"));
        }
        let directories = fields.get(sum(optional, 108), 4)?;
        // The fifth directory is the certificates'.
        if directories > 4 && fields.get(sum(optional, 112 + 4 * 8), 8)? != 0 {
            return Err(PeError::Signed);
        }
        let align = fields.get(sum(optional, 32), 4)?;
        let file_align = fields.get(sum(optional, 36), 4)?;
        if !align.is_power_of_two() || !file_align.is_power_of_two() || file_align > align {
            return Err(PeError::NotPe("its alignments are no powers of two"));
        }
        if file_align > MAX_FILE_ALIGN {
            return Err(PeError::NotPe("its sections are further apart than 64 KiB"));
        }
        let table = sum(optional, optional_len);
        let mut room_end = fields.get(sum(optional, 60), 4)?;
        let (mut end, mut file_end, mut long_names) = (0, 0_u64, false);
        for index in 0..sections {
            let at = sum(table, index.saturating_mul(HEADER));
            let get = |offset| fields.get(sum(at, offset), 4);
            long_names |= fields.get(at, 1)? == u64::from(b'/');
            let (virtual_len, virtual_at) = (get(8)?, get(12)?);
            let (len, raw) = (get(16)?, get(20)?);
            end = end.max(sum(virtual_at, virtual_len.max(len)));
            if len > 0 {
                room_end = room_end.min(raw);
                file_end = file_end.max(sum(raw, len));
            }
        }
        let whole = u64::try_from(fields.0.len()).unwrap_or(u64::MAX);
        if file_end == 0 || file_end > whole {
            return Err(PeError::NotPe("its sections end behind it"));
        }
        // The names of sections may stand behind the symbols.
        let file_end = if long_names { whole } else { file_end };
        Ok(Self {
            coff,
            optional,
            table,
            sections,
            align,
            file_align,
            end,
            file_end,
            room_end,
        })
    }

    /// Checks that the headers have room, and that no section has one of the names.
    fn check(&self, fields: &Fields, added: &[Section]) -> Result<(), PeError> {
        for index in 0..self.sections {
            let at = sum(self.table, index.saturating_mul(HEADER));
            let name = fields.get(at, 8)?;
            if let Some(taken) = added.iter().find(|section| number(section.name) == name) {
                return Err(PeError::Taken(taken.name.to_owned()));
            }
        }
        let taken = sum(self.table, self.sections.saturating_mul(HEADER));
        let room = self.room_end.saturating_sub(taken) / HEADER;
        let room = usize::try_from(room).unwrap_or(0);
        match room >= added.len() {
            true => Ok(()),
            false => Err(PeError::NoRoom {
                room,
                needed: added.len(),
            }),
        }
    }
}

/// Returns a name of up to eight bytes as the number that it is in a header.
fn number(name: &str) -> u64 {
    let bytes = name.bytes().take(8).enumerate();
    bytes.fold(0, |value, (index, byte)| {
        let shift = u32::try_from(index).unwrap_or(0).saturating_mul(8);
        value | u64::from(byte) << shift
    })
}

/// Adds sections to a program, above its own in memory and behind them in the file.
pub(super) fn with_sections(
    program: &[u8],
    added: &[Section],
    seconds: u32,
) -> Result<Content, PeError> {
    let mut fields = Fields(program.to_vec());
    let layout = Layout::read(&fields)?;
    layout.check(&fields, added)?;
    // What follows the last section are symbols, which nobody needs to start it.
    fields
        .0
        .truncate(usize::try_from(layout.file_end).unwrap_or(usize::MAX));
    if fields.0.len() < program.len() {
        fields.put_long(sum(layout.coff, 8), 0)?;
        fields.put_long(sum(layout.coff, 12), 0)?;
    }
    let (mut at, mut raw) = (layout.end, layout.file_end);
    let mut places = Vec::new();
    let mut data = fields.get(sum(layout.optional, 8), 4)?;
    for (index, section) in (layout.sections..).zip(added) {
        at = aligned(at, layout.align.max(PAGE));
        raw = aligned(raw, layout.file_align);
        let len = section.content.size();
        let file_len = aligned(len, layout.file_align);
        let header = sum(layout.table, index.saturating_mul(HEADER));
        fields.put(header, &number(section.name).to_le_bytes())?;
        for (offset, value) in [
            (8, len),
            (12, at),
            (16, file_len),
            (20, raw),
            (24, 0),
            (28, 0),
            (32, 0),
        ] {
            fields.put_long(sum(header, offset), value)?;
        }
        fields.put_long(sum(header, 36), u64::from(READ_ONLY_DATA))?;
        places.push((raw, file_len));
        data = sum(data, file_len);
        (at, raw) = (sum(at, len), sum(raw, file_len));
    }
    let count = layout
        .sections
        .saturating_add(u64::try_from(added.len()).unwrap_or(0));
    let count = u16::try_from(count).map_err(|_| PeError::TooLarge)?;
    fields.put(sum(layout.coff, 2), &count.to_le_bytes())?;
    fields.put(sum(layout.coff, 4), &seconds.to_le_bytes())?;
    fields.put_long(sum(layout.optional, 8), data)?;
    fields.put_long(sum(layout.optional, 56), aligned(at, layout.align))?;
    let checksum = sum(layout.optional, 64);
    fields.put_long(checksum, 0)?;
    let whole = joined(fields.0.clone(), added, &places);
    let found = sum_of(&whole)?;
    fields.put_long(checksum, found)?;
    Ok(joined(fields.0, added, &places))
}

/// Puts headers and sections behind each other; what is between them is zeros.
fn joined(program: Vec<u8>, added: &[Section], places: &[(u64, u64)]) -> Content {
    let mut whole = Content::inline(program);
    for (section, (raw, len)) in added.iter().zip(places) {
        let gap = raw.saturating_sub(whole.size());
        push_zeros(&mut whole, gap);
        append(&mut whole, &section.content);
        push_zeros(&mut whole, len.saturating_sub(section.content.size()));
    }
    whole
}

/// Appends a few zeros as bytes: holes inside a program are of no use.
fn push_zeros(content: &mut Content, len: u64) {
    content.push_inline(vec![0; usize::try_from(len).unwrap_or(0)]);
}

/// Returns the checksum of a program whose own is 0: its words added with carry, and its length.
fn sum_of(content: &Content) -> Result<u64, PeError> {
    let mut buffer = vec![0; PIECE];
    let (mut at, mut total) = (0_u64, 0_u64);
    while at < content.size() {
        let left = usize::try_from(content.size().saturating_sub(at)).unwrap_or(PIECE);
        let piece = buffer.get_mut(..left.min(PIECE)).unwrap_or_default();
        content.read_at(at, piece)?;
        for word in piece.chunks(2) {
            let low = word.first().copied().unwrap_or(0);
            let high = word.get(1).copied().unwrap_or(0);
            total = total.saturating_add(u64::from(u16::from_le_bytes([low, high])));
        }
        while total > 0xffff {
            total = (total & 0xffff).saturating_add(total >> 16);
        }
        at = at.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
    }
    Ok(total.saturating_add(content.size()))
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "what a test builds, it knows"
)]
mod tests {
    use super::*;

    /// A program with one section, and room for `room` further headers.
    fn program(room: usize) -> Vec<u8> {
        let headers = 0x58 + 240 + 40 + room * 40;
        let mut bytes = vec![0; headers + 512];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        let long = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
        put(0, b"MZ");
        put(0x3c, &long(0x40));
        put(0x40, b"PE\0\0\x64\x86\x01\0");
        put(0x54, &240_u16.to_le_bytes());
        put(0x58, &0x20b_u16.to_le_bytes());
        put(0x58 + 32, &long(4096));
        put(0x58 + 36, &long(512));
        put(0x58 + 60, &long(headers));
        put(0x58 + 108, &long(16));
        let table = 0x58 + 240;
        put(table, b".text\0\0\0");
        put(table + 8, &long(100));
        put(table + 12, &long(4096));
        put(table + 16, &long(512));
        put(table + 20, &long(headers));
        bytes
    }

    fn read(content: &Content) -> Fields {
        let mut bytes = vec![0; usize::try_from(content.size()).unwrap()];
        content.read_at(0, &mut bytes).unwrap();
        Fields(bytes)
    }

    #[test]
    fn sections_lie_above_and_behind_those_that_are_there() {
        let section = |name, len| Section::new(name, Content::inline(vec![7; len]));
        let added = [section(".cmdline", 10), section(".linux", 5000)];
        let made = with_sections(&program(4), &added, 5).unwrap();
        let fields = read(&made);
        let layout = Layout::read(&fields).unwrap();
        assert_eq!(layout.sections, 3);
        let at = |index: u64, offset| {
            fields
                .get(sum(layout.table, index * HEADER) + offset, 4)
                .unwrap()
        };
        assert_eq!((at(1, 12), at(1, 8)), (8192, 10));
        assert_eq!((at(2, 12), at(2, 8), at(2, 16)), (12_288, 5000, 5120));
        assert_eq!(fields.get(at(2, 20), 1).unwrap(), 7);
        assert_eq!(fields.get(layout.optional + 56, 4).unwrap(), 20_480);
        assert_eq!(fields.get(layout.coff + 4, 4).unwrap(), 5, "the time");
        // A checksum is right when it comes out again with itself taken as 0.
        let stored = fields.get(layout.optional + 64, 4).unwrap();
        let mut zeroed = fields;
        zeroed.put_long(layout.optional + 64, 0).unwrap();
        assert_eq!(sum_of(&Content::inline(zeroed.0)).unwrap(), stored);
    }

    #[test]
    fn what_has_no_room_or_is_no_program_is_refused() {
        let added = [Section::new(".linux", Content::inline(vec![1]))];
        let full = with_sections(&program(0), &added, 0);
        assert!(
            matches!(full, Err(PeError::NoRoom { room: 0, needed: 1 })),
            "{full:?}"
        );
        let twice = [Section::new(".text", Content::inline(vec![1]))];
        assert!(matches!(
            with_sections(&program(2), &twice, 0),
            Err(PeError::Taken(_))
        ));
        let mut signed = program(2);
        signed[0x58 + 112 + 32] = 1;
        assert!(matches!(
            with_sections(&signed, &added, 0),
            Err(PeError::Signed)
        ));
        let mut wide = program(2);
        // Both alignments are 128 KiB.
        wide[0x58 + 32..0x58 + 40].copy_from_slice(&[0, 0, 2, 0].repeat(2));
        assert!(matches!(
            with_sections(&wide, &added, 0),
            Err(PeError::NotPe(_))
        ));
        for len in 0..program(2).len() {
            assert!(
                with_sections(&program(2)[..len], &added, 0).is_err(),
                "{len}"
            );
        }
        assert!(matches!(
            with_sections(b"ELF", &added, 0),
            Err(PeError::NotPe(_))
        ));
    }
}
