//! The boot sector with its parameter block, and FAT32's FSInfo sector.

use super::geometry::{Bits, Geometry};

/// Where FAT32 keeps FSInfo, and the copies of both sectors.
pub(super) const FSINFO: u32 = 1;
pub(super) const BACKUP: u32 = 6;
/// The cluster of FAT32's root folder.
pub(super) const ROOT_CLUSTER: u32 = 2;
/// What a volume without a label has in its place.
pub(super) const NO_NAME: [u8; 11] = *b"NO NAME    ";

/// What identifies a volume.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) volume_id: u32,
    /// Padded with spaces.
    pub(super) label: Option<[u8; 11]>,
    pub(super) hidden_sectors: u32,
}

/// A sector under construction.
struct Sector(Vec<u8>);

impl Sector {
    fn new(geometry: &Geometry) -> Self {
        let len = usize::try_from(geometry.sector).unwrap_or(512);
        Self(vec![0; len])
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn short(&mut self, at: usize, value: u32) {
        let value = u16::try_from(value).unwrap_or(0);
        self.put(at, &value.to_le_bytes());
    }

    fn long(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }
}

/// Makes the boot sector.
pub(super) fn boot_sector(geometry: &Geometry, identity: &Identity) -> Vec<u8> {
    let mut sector = Sector::new(geometry);
    let wide = geometry.bits == Bits::Fat32;
    // Where the extended parameters stand, and the code behind them.
    let (extended, code) = if wide { (64, 90) } else { (36, 62) };
    let jump = u8::try_from(code - 2).unwrap_or(0);
    sector.put(0, &[0xeb, jump, 0x90]);
    // The name that the specification recommends, since some readers look at it.
    sector.put(3, b"MSWIN4.1");
    sector.short(11, geometry.sector);
    sector.put(13, &[u8::try_from(geometry.cluster_sectors).unwrap_or(0)]);
    sector.short(14, geometry.reserved);
    sector.put(16, &[u8::try_from(geometry.tables).unwrap_or(2)]);
    sector.short(17, geometry.root_entries);
    let small = !wide && u16::try_from(geometry.sectors).is_ok();
    sector.short(19, if small { geometry.sectors } else { 0 });
    sector.put(21, &[0xf8]);
    sector.short(22, if wide { 0 } else { geometry.table_sectors });
    sector.short(24, 63);
    sector.short(26, 255);
    sector.long(28, identity.hidden_sectors);
    sector.long(32, if small { 0 } else { geometry.sectors });
    if wide {
        sector.long(36, geometry.table_sectors);
        sector.long(44, ROOT_CLUSTER);
        sector.short(48, FSINFO);
        sector.short(50, BACKUP);
    }
    sector.put(extended, &[0x80, 0, 0x29]);
    sector.long(extended + 3, identity.volume_id);
    sector.put(extended + 7, &identity.label.unwrap_or(NO_NAME));
    sector.put(
        extended + 18,
        format!("{:8}", geometry.bits.to_string()).as_bytes(),
    );
    // Whoever boots it stops: cli; hlt; jmp back.
    sector.put(code, &[0xfa, 0xf4, 0xeb, 0xfd]);
    sector.put(510, &[0x55, 0xaa]);
    sector.0
}

/// Makes FAT32's FSInfo sector: how many clusters are free, and where to look for one.
pub(super) fn info_sector(geometry: &Geometry, used: u32) -> Vec<u8> {
    let mut sector = Sector::new(geometry);
    let free = geometry.clusters - used;
    sector.put(0, b"RRaA");
    sector.put(484, b"rrAa");
    sector.long(488, free);
    sector.long(492, if free == 0 { u32::MAX } else { used + 2 });
    sector.put(510, &[0x55, 0xaa]);
    sector.0
}
