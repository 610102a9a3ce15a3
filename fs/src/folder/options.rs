//! What a folder's entries become.

/// How a folder is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Who owns the entries.
    pub owners: Owners,
    /// Leaves out what is in folders where another filesystem is mounted; the folders themselves
    /// stay, empty.
    pub one_file_system: bool,
}

/// Who owns the entries of a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owners {
    /// Root, whoever owns them on the host.
    #[default]
    Root,
    /// Whoever owns them on the host.
    Keep,
    /// This user and group.
    Fixed {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}
