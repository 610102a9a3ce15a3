//! The header of a member: the magic number, then 13 fields of 8 hexadecimal digits each.

/// What every header begins with.
const MAGIC: &str = "070701";

/// A header's length in bytes.
pub(super) const LEN: usize = 110;

/// The fields of a header, in their order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Header {
    /// `0x06` `c_ino`
    pub(super) ino: u32,
    /// `0x0e` `c_mode`
    pub(super) mode: u32,
    /// `0x16` `c_uid`
    pub(super) uid: u32,
    /// `0x1e` `c_gid`
    pub(super) gid: u32,
    /// `0x26` `c_nlink`
    pub(super) nlink: u32,
    /// `0x2e` `c_mtime`
    pub(super) mtime: u32,
    /// `0x36` `c_filesize`
    pub(super) filesize: u32,
    /// `0x4e` `c_rmaj` (`c_maj` and `c_min`, of the archive's own device, are 0)
    pub(super) rmaj: u32,
    /// `0x56` `c_rmin`
    pub(super) rmin: u32,
    /// `0x5e` `c_namesize`, with the zero byte at its end
    pub(super) namesize: u32,
}

impl Header {
    /// Returns the header's bytes; `c_check` is 0 in this format.
    pub(super) fn to_bytes(self) -> String {
        let fields = [
            self.ino,
            self.mode,
            self.uid,
            self.gid,
            self.nlink,
            self.mtime,
            self.filesize,
            0,
            0,
            self.rmaj,
            self.rmin,
            self.namesize,
            0,
        ];
        let digits = fields.map(|field| format!("{field:08x}"));
        format!("{MAGIC}{}", digits.concat())
    }
}
