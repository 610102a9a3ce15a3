//! Why an entry has no place in the tree.

/// Why a name, link or node is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name has no bytes.
    #[error("the name is empty")]
    EmptyName,
    /// The name contains a NUL byte.
    #[error("the name has a NUL at byte {at}")]
    Nul {
        /// Its place in the name in bytes.
        at: usize,
    },
    /// A component of a name is longer than 255 bytes.
    #[error("the component {component} has {len} bytes, 255 are possible")]
    LongComponent {
        /// The start of the component, lossily decoded.
        component: String,
        /// Its length in bytes.
        len: usize,
    },
    /// `..` in a member name or hard-link target leaves the root.
    #[error("`..` leaves the root")]
    LeavesRoot,
    /// The name ends in `..`, where only a folder can be meant.
    #[error("the name ends in `..`, which cannot be {kind}")]
    EndsInParent {
        /// What was to stand there.
        kind: &'static str,
    },
    /// The root can only be a folder.
    #[error("{kind} cannot replace the root")]
    Root {
        /// What was to stand there.
        kind: &'static str,
    },
    /// A single file was to take the place of a folder and all that is in it.
    #[error("there is a folder, which a file would replace with all that is in it")]
    Folder,
    /// A symlink to nothing.
    #[error("the symlink's target is empty")]
    EmptyTarget,
    /// A symlink's target is longer than 4095 bytes.
    #[error("the symlink's target has {len} bytes, 4095 are possible")]
    LongTarget {
        /// Its length in bytes.
        len: usize,
    },
    /// A symlink's target contains a NUL byte.
    #[error("the symlink's target has a NUL at byte {at}")]
    TargetNul {
        /// Its place in the target in bytes.
        at: usize,
    },
    /// A name leads through more than 40 symlinks.
    #[error("more than 40 symlinks, the last at {name}")]
    TooManySymlinks {
        /// The component that is one too many, lossily decoded.
        name: String,
    },
    /// A name leads through something that is no folder.
    #[error("{name} is {kind}, not a folder")]
    NotADirectory {
        /// The component, lossily decoded.
        name: String,
        /// What it is.
        kind: &'static str,
    },
    /// A name leads through a hard link whose target has not arrived.
    #[error("{name} is a hard link whose target has not arrived, not a folder")]
    PendingParent {
        /// The component, lossily decoded.
        name: String,
    },
    /// The target of a hard link is no legal name.
    #[error("hard link {link} to {target}")]
    LinkTarget {
        /// The link's name, lossily decoded.
        link: String,
        /// The target, lossily decoded.
        target: String,
        /// What is wrong with it.
        source: Box<Self>,
    },
    /// A hard link to a folder.
    #[error("hard link {link} to {target}, which is a folder")]
    LinkToDirectory {
        /// The link's name, lossily decoded.
        link: String,
        /// The target, lossily decoded.
        target: String,
    },
    /// A hard link whose target never arrived.
    #[error("hard link {link} to {target}, which does not exist")]
    LinkToNothing {
        /// The link's name, lossily decoded.
        link: String,
        /// The target, lossily decoded.
        target: String,
    },
    /// Hard links that have only each other as targets.
    #[error("hard link {link} to {target}, which leads back to it")]
    LinkCycle {
        /// The link's name, lossily decoded.
        link: String,
        /// The target, lossily decoded.
        target: String,
    },
    /// A hard link carries a content, but its target cannot have one.
    #[error("hard link {link} has a content, but {target} is {kind}")]
    LinkBody {
        /// The link's name, lossily decoded.
        link: String,
        /// The target, lossily decoded.
        target: String,
        /// What the target is.
        kind: &'static str,
    },
    /// More names on one node than can be counted.
    #[error("{target} has more than 4,294,967,295 names")]
    TooManyNames {
        /// One of its names, lossily decoded.
        target: String,
    },
    /// More nodes than can be numbered.
    #[error("more than 4,294,967,295 entries")]
    TooManyNodes,
    /// What shall be removed is not there.
    #[error("{name} does not exist")]
    NotFound {
        /// The name, lossily decoded.
        name: String,
    },
    /// A name that must be new is there.
    #[error("{name} exists")]
    Exists {
        /// The name, lossily decoded.
        name: String,
    },
    /// A name that is one component has a slash.
    #[error("the name has a slash at byte {at}")]
    Slash {
        /// Its place in the name in bytes.
        at: usize,
    },
    /// A layer's whiteout names a folder itself, or the one it stands in.
    #[error("{name} is a whiteout of no name")]
    Whiteout {
        /// The entry's name, lossily decoded.
        name: String,
    },
}
