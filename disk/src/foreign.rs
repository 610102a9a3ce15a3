//! Formats of disk images that are not read, and told apart all the same: taken for raw disks they would
//! become disks of nonsense.

/// Where a magic stands, in bytes, the magic, and what has it.
const MAGICS: [(usize, &[u8], &str); 6] = [
    (0x40, &[0x7f, 0x10, 0xda, 0xbe], "VDI image"),
    (0, b"QED\0", "QED image"),
    (0, b"WithoutFreeSpace", "Parallels image"),
    (0, b"WithouFreSpacExt", "Parallels image"),
    (
        0,
        b"# Disk DescriptorFile",
        "VMDK with its disk in other files",
    ),
    (0, b"COWD", "VMDK of an ESX server"),
];

/// What the last 512 bytes of a DMG begin with.
pub(crate) const DMG_TRAILER: &[u8] = b"koly";
/// What a DMG is.
pub(crate) const DMG: &str = "DMG image";

/// Returns what a file is that begins so, if it is one of them.
pub(crate) fn named(head: &[u8]) -> Option<&'static str> {
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let found = MAGICS.iter().find(|(at, magic, _)| has(*at, magic));
    found.map(|(_, _, name)| *name)
}
