//! What a finished or planned filesystem is, for people and for programs.

use forger_fs::ext4::{BLOCK_SIZE, Summary};
use serde_json::{Value, json};

use crate::args::Format;
use crate::args::size::{both, human};
use crate::args::{time, uuid};
use crate::hash_tree::HashTree;
use crate::print;

/// Returns the summary in the format that was asked for.
pub(crate) fn report(format: Format, path: Option<&str>, summary: &Summary) -> String {
    match format {
        Format::Text => text(path, summary),
        Format::Json => print::json_line(&json(path, summary)),
    }
}

/// Returns the summary, and what is known of the hash tree where there is one.
pub(crate) fn with_tree(
    format: Format,
    path: Option<&str>,
    summary: &Summary,
    tree: Option<&HashTree>,
) -> String {
    let Some(tree) = tree else {
        return report(format, path, summary);
    };
    match format {
        Format::Text => text(path, summary) + &tree.text(),
        Format::Json => {
            let mut object = json(path, summary);
            object["verity"] = tree.json();
            print::json_line(&object)
        }
    }
}

/// Returns the summary as aligned lines.
fn text(path: Option<&str>, summary: &Summary) -> String {
    let free = free_bytes(summary);
    print::rows([
        ("path", path.map(str::to_owned)),
        ("size", Some(both(summary.size))),
        ("used", Some(both(summary.size.saturating_sub(free)))),
        ("free", Some(both(free))),
        (
            "inodes",
            Some(format!("{}, {} free", summary.inodes, summary.free_inodes)),
        ),
        ("uuid", Some(uuid::text(&summary.uuid))),
    ])
}

/// Returns the summary as a JSON object.
pub(crate) fn json(path: Option<&str>, summary: &Summary) -> Value {
    let free = free_bytes(summary);
    json!({
        "path": path,
        "type": "ext4",
        "size": summary.size,
        "used": summary.size.saturating_sub(free),
        "free": free,
        "inodes": summary.inodes,
        "free_inodes": summary.free_inodes,
        "uuid": uuid::text(&summary.uuid),
        "hash_seed": uuid::text(&summary.hash_seed),
        "label": summary.label.as_ref().map(|label| String::from_utf8_lossy(label)),
        "time": time::text(summary.time),
        "entries": summary.entries,
        "content_bytes": summary.content_bytes,
        "journal_bytes": summary.journal_bytes,
    })
}

/// Says what was derived from content and options, or given.
pub(crate) fn derived(summary: &Summary) -> String {
    format!(
        "uuid {}, hash seed {}, time {}, journal {}",
        uuid::text(&summary.uuid),
        uuid::text(&summary.hash_seed),
        time::text(summary.time),
        human(summary.journal_bytes),
    )
}

fn free_bytes(summary: &Summary) -> u64 {
    summary.free_blocks.saturating_mul(BLOCK_SIZE)
}
