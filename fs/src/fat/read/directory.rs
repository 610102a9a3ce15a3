//! A folder's entries: short names, and the long ones before them.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use crate::fat::folder::attribute;
use crate::fat::name::{Short, UNITS, sum};
use crate::fat::stamp::Stamp;
use crate::tree::Time;

/// Bytes of an entry.
const ENTRY: usize = 32;
/// Code page 437 above ASCII, in which short names are written.
const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// A name, and what it refers to.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// In UTF-8.
    pub(super) name: Vec<u8>,
    pub(super) attributes: u8,
    /// The first cluster, 0 for none.
    pub(super) cluster: u32,
    pub(super) size: u32,
    pub(super) created: Option<Time>,
    pub(super) accessed: Option<Time>,
    pub(super) modified: Option<Time>,
}

/// An entry's fields.
struct Entry<'a>(&'a [u8]);

impl Entry<'_> {
    fn byte(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    fn short(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.byte(at), self.byte(at.saturating_add(1))])
    }

    fn long(&self, at: usize) -> u32 {
        u32::from(self.short(at)) | u32::from(self.short(at.saturating_add(2))) << 16
    }

    fn name(&self) -> Short {
        let mut short = Short::default();
        for (to, from) in short.iter_mut().zip(self.0) {
            *to = *from;
        }
        short
    }

    fn is_label(&self) -> bool {
        let attributes = self.byte(11);
        attributes & 0x3f != attribute::LONG
            && attributes & (attribute::LABEL | attribute::FOLDER) == attribute::LABEL
    }

    fn time(&self, date: usize, time: Option<usize>, hundredths: u8) -> Option<Time> {
        let stamp = Stamp {
            date: self.short(date),
            time: time.map_or(0, |at| self.short(at)),
            hundredths,
        };
        stamp.to_time()
    }
}

/// Returns the entries up to the end mark that are not free.
fn entries(bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    bytes
        .chunks_exact(ENTRY)
        .map(Entry)
        .take_while(|entry| entry.byte(0) != 0)
        .filter(|entry| entry.byte(0) != 0xe5)
}

/// Returns the volume label that a root folder holds.
pub(super) fn label(bytes: &[u8]) -> Option<Short> {
    let entry = entries(bytes).find(Entry::is_label)?;
    Some(entry.name())
}

/// Returns the names of a folder, in their order, without itself and its parent.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Found>, String> {
    let mut long = Long::default();
    let mut found = Vec::new();
    for entry in entries(bytes) {
        if entry.byte(11) & 0x3f == attribute::LONG {
            long.part(&entry);
            continue;
        }
        let short = entry.name();
        let name = long.finish(&short);
        if entry.is_label() || short.first() == Some(&b'.') {
            continue;
        }
        let folder = entry.byte(11) & attribute::FOLDER != 0;
        let name = name.unwrap_or_else(|| short_name(&short, entry.byte(12)));
        let bad = |c: char| c == '/' || c == '\0';
        if name.is_empty() || name == "." || name == ".." || name.contains(bad) {
            return Err(format!("{name:?} is no name"));
        }
        let size = entry.long(28);
        found.push(Found {
            name: name.into_bytes(),
            attributes: entry.byte(11),
            cluster: u32::from(entry.short(20)) << 16 | u32::from(entry.short(26)),
            size: if folder { 0 } else { size },
            created: entry.time(16, Some(14), entry.byte(13)),
            accessed: entry.time(18, None, 0),
            modified: entry.time(24, Some(22), 0),
        });
    }
    Ok(found)
}

/// A long name as its parts come in, the last first.
#[derive(Default)]
struct Long {
    units: Vec<u16>,
    /// The number of the part that came last; the next is one less.
    order: u8,
    sum: u8,
}

impl Long {
    fn part(&mut self, entry: &Entry<'_>) {
        let (order, sum) = (entry.byte(0), entry.byte(13));
        let number = order & 0x1f;
        let continues = number > 0 && number.checked_add(1) == Some(self.order) && sum == self.sum;
        if order & 0x40 != 0 {
            self.units.clear();
        } else if !continues {
            *self = Self::default();
            return;
        }
        (self.order, self.sum) = (number, sum);
        let places = (1..11)
            .step_by(2)
            .chain((14..26).step_by(2))
            .chain([28, 30]);
        let part: Vec<u16> = places.map(|at| entry.short(at)).take(UNITS).collect();
        self.units.splice(0..0, part);
    }

    /// Returns the long name, if one stands complete before this short name.
    fn finish(&mut self, short: &Short) -> Option<String> {
        let this = std::mem::take(self);
        if this.order != 1 || this.sum != sum(short) {
            return None;
        }
        let end = this.units.iter().position(|unit| *unit == 0);
        let units = this.units.get(..end.unwrap_or(this.units.len()))?;
        String::from_utf16(units).ok()
    }
}

/// Returns bytes of a short name as text.
pub(super) fn oem(bytes: &[u8]) -> String {
    let character = |byte: &u8| match byte.checked_sub(128) {
        None => char::from(*byte),
        Some(index) => CP437.chars().nth(usize::from(index)).unwrap_or('_'),
    };
    bytes.iter().map(character).collect()
}

/// Returns a short name with its dot; `cases` says which part Windows NT shows in lower case.
fn short_name(short: &Short, cases: u8) -> String {
    let (base, extension) = short.split_at(8);
    let mut base = base.to_vec();
    if let Some(first) = base.first_mut()
        && *first == 0x05
    {
        *first = 0xe5;
    }
    let part = |bytes: &[u8], lower: bool| {
        let text = oem(bytes).trim_end().to_owned();
        if lower { text.to_lowercase() } else { text }
    };
    let (base, extension) = (
        part(&base, cases & 0x08 != 0),
        part(extension, cases & 0x10 != 0),
    );
    match extension.is_empty() {
        true => base,
        false => format!("{base}.{extension}"),
    }
}
