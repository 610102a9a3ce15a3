//! As much of ELF as tells kernels and modules apart: 64-bit, little-endian.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Architectures by their numbers.
pub(super) mod machine {
    pub(in super::super) const X86_64: u16 = 62;
    pub(in super::super) const AARCH64: u16 = 183;
}

/// A program that another one has to load.
const PT_INTERP: u32 = 3;

/// The start of a file.
#[derive(Clone, Copy, Debug, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawHeader {
    /// 0x00: magic, class, byte order, versions.
    ident: [u8; 16],
    /// 0x10
    pub(super) kind: U16,
    /// 0x12
    pub(super) machine: U16,
    /// 0x14
    version: U32,
    /// 0x18
    entry: U64,
    /// 0x20: of the program headers.
    phoff: U64,
    /// 0x28: of the section headers.
    shoff: U64,
    /// 0x30
    flags: U32,
    /// 0x34
    ehsize: U16,
    /// 0x36
    phentsize: U16,
    /// 0x38
    phnum: U16,
    /// 0x3a
    shentsize: U16,
    /// 0x3c
    shnum: U16,
    /// 0x3e: the section that holds their names.
    shstrndx: U16,
}

const _: () = assert!(size_of::<RawHeader>() == 64);

#[derive(Clone, Copy, Debug, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawSection {
    /// 0x00: in the section of names.
    name: U32,
    /// 0x04
    kind: U32,
    /// 0x08
    flags: U64,
    /// 0x10
    address: U64,
    /// 0x18: in the file.
    offset: U64,
    /// 0x20: in bytes.
    size: U64,
    /// 0x28
    rest: [u8; 24],
}

const _: () = assert!(size_of::<RawSection>() == 64);

/// A file in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elf<'a> {
    bytes: &'a [u8],
    pub(super) header: RawHeader,
}

impl<'a> Elf<'a> {
    /// Reads the header; nothing when it is no such file.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, _) = RawHeader::read_from_prefix(bytes).ok()?;
        // 64 bits, the low byte first.
        let right = header.ident.starts_with(b"\x7fELF\x02\x01");
        right.then_some(Self { bytes, header })
    }

    /// Tells whether it is a program that another one has to load.
    pub(super) fn is_dynamic_program(&self) -> bool {
        (0..self.header.phnum.get()).any(|number| {
            let entry = self.entry(self.header.phoff.get(), self.header.phentsize.get(), number);
            let kind = entry.and_then(|entry| U32::read_from_prefix(entry).ok());
            kind.is_some_and(|(kind, _)| kind.get() == PT_INTERP)
        })
    }

    /// Returns the content of a section.
    ///
    /// # Errors
    /// What is wrong: headers that lie outside of the file.
    pub(super) fn section(&self, name: &[u8]) -> Result<Option<&'a [u8]>, &'static str> {
        let names = self
            .raw_section(self.header.shstrndx.get())
            .and_then(|section| self.content(&section))
            .ok_or("it has no names of sections")?;
        for number in 0..self.header.shnum.get() {
            let section = self
                .raw_section(number)
                .ok_or("a section header lies outside of it")?;
            let start = usize::try_from(section.name.get()).unwrap_or(usize::MAX);
            let found = names.get(start..).unwrap_or_default();
            if found.starts_with(name) && found.get(name.len()) == Some(&0) {
                let content = self.content(&section);
                return content.map(Some).ok_or("a section lies outside of it");
            }
        }
        Ok(None)
    }

    fn raw_section(&self, number: u16) -> Option<RawSection> {
        let entry = self.entry(self.header.shoff.get(), self.header.shentsize.get(), number)?;
        RawSection::read_from_prefix(entry).ok().map(|(raw, _)| raw)
    }

    /// Returns the bytes from an entry of a table on.
    fn entry(&self, table: u64, size: u16, number: u16) -> Option<&'a [u8]> {
        let within = u64::from(size).checked_mul(number.into())?;
        let start = usize::try_from(table.checked_add(within)?).ok()?;
        self.bytes.get(start..)
    }

    fn content(&self, section: &RawSection) -> Option<&'a [u8]> {
        let start = usize::try_from(section.offset.get()).ok()?;
        let len = usize::try_from(section.size.get()).ok()?;
        self.bytes.get(start..)?.get(..len)
    }
}
