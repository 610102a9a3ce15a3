//! `forger info IMAGE`

use std::ffi::OsString;

use serde_json::{Value, json};

use crate::args::{Format, Global, uuid};
use crate::exit::Failure;
use crate::image::Opened;
use crate::listing;
use crate::print::{self, Stream};

/// Shows what an image is: size, usage, features, times
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
Examples:
  forger info rootfs.ext4
  forger info --output json rootfs.ext4 | jq -r .uuid

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    /// An ext2, ext3 or ext4 image
    #[arg(value_name = "IMAGE")]
    image: OsString,
}

/// Prints the superblock's facts.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let opened = Opened::open(&args.image)?;
    let facts = facts(&opened);
    let text = match global.output {
        Format::Json => print::json_line(&facts),
        Format::Text => text(&facts),
    };
    print::result(Stream::Stdout, &text)
}

fn facts(opened: &Opened) -> Value {
    let superblock = opened.image.superblock();
    let block = u64::from(superblock.block_size());
    json!({
        "type": "ext4",
        "label": listing::shown(superblock.label()),
        "uuid": uuid::text(&superblock.uuid()),
        "size": superblock.size(),
        "free": superblock.free_blocks() * block,
        "reserved": superblock.reserved_blocks() * block,
        "block_size": block,
        "blocks": superblock.blocks(),
        "groups": superblock.groups(),
        "inodes": superblock.inodes(),
        "free_inodes": superblock.free_inodes(),
        "inode_size": superblock.inode_size(),
        "made": listing::utc(superblock.made()),
        "written": listing::utc(superblock.written()),
        "checked": listing::utc(superblock.checked()),
        "clean": superblock.clean(),
        "journal_replayed": opened.image.replayed(),
        "features": superblock.features(),
    })
}

/// Returns the facts as aligned lines.
fn text(facts: &Value) -> String {
    let line = |(name, value): (&String, &Value)| {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Array(words) => words
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(" "),
            other => other.to_string(),
        };
        format!("{name:<18}{value}\n")
    };
    facts.as_object().into_iter().flatten().map(line).collect()
}
