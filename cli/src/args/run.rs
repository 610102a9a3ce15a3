//! What a command that makes something does beside making it.

use clap::Args;

/// Whether and how the output is written.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Run")]
pub(crate) struct RunArgs {
    /// Writes nothing; reports the size, inodes and free space that the filesystem would have
    #[arg(long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// How the output is written.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Run")]
pub(crate) struct WriteArgs {
    /// Replaces an existing file, or overwrites a block device
    #[arg(long)]
    pub(crate) force: bool,

    /// Does not wait until the output is on the disk: faster, but a power cut may lose it
    #[arg(long)]
    pub(crate) no_sync: bool,
}
