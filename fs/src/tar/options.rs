//! How an archive is read.

/// What the reader accepts, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Reads on where another archive follows the end marker.
    pub concatenated: bool,
    /// Accepts an archive that ends between two members without its end marker.
    pub allow_missing_eof: bool,
    /// Leaves out, with a note, ACL entries that name a user or group without its id.
    pub ignore_acl_names: bool,
    /// Leaves out, with a note, inode flags that Linux does not have.
    pub ignore_flags: bool,
    /// The longest member name or link target in bytes.
    ///
    /// 64 KiB by default: sixteen times what a system call takes, for trees that were walked
    /// relatively.
    pub max_name: u64,
    /// The most bytes of PAX records in front of one member, and of global ones in force.
    ///
    /// 1 MiB by default: Linux allows 64 KiB an attribute, and ext4 one block for all of them.
    pub max_pax: u64,
    /// The most data runs of one sparse file; each takes 16 bytes of memory.
    ///
    /// 1,048,576 by default.
    pub max_sparse_runs: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concatenated: false,
            allow_missing_eof: false,
            ignore_acl_names: false,
            ignore_flags: false,
            max_name: 64 << 10,
            max_pax: 1 << 20,
            max_sparse_runs: 1 << 20,
        }
    }
}
