//! What a disk is, for people and for programs.

use forger_block::BlockRead;
use forger_disk::partition::Partition;
use serde_json::{Value, json};

use super::Made;
use crate::args::size::human;
use crate::args::{Format, uuid};
use crate::{print, summary};

/// Returns what was made in the format that was asked for.
pub(super) fn report(made: &Made, format: Format) -> String {
    match format {
        Format::Json => print::json_line(&json(made)),
        Format::Text => text(made),
    }
}

fn text(made: &Made) -> String {
    let bytes = |bytes: u64| format!("{bytes} bytes ({})", human(bytes));
    let size = BlockRead::len(&made.disk.image);
    let mut text = String::new();
    let mut row = |name: &str, value: String| text.push_str(&format!("{name:<8}{value}\n"));
    if let Some(path) = &made.path {
        row("path", path.clone());
        row("format", made.format.to_owned());
    }
    row("size", bytes(size));
    if let Some(len) = made.file_len {
        row("file", bytes(len));
    }
    for partition in &made.disk.table.partitions {
        let guid = partition
            .guid
            .map(|guid| guid.to_string())
            .unwrap_or_default();
        row(
            &format!("part {}", partition.number),
            format!("{}, {}, {guid}", partition.name, human(partition.len)),
        );
    }
    row("uuid", uuid::text(&made.root.uuid));
    if let Some(hash) = &made.disk.root_hash {
        row("roothash", format!(" {hash}"));
    }
    for kernel in &made.disk.kernels {
        row("kernel", kernel.version.clone());
    }
    if !made.disk.kernels.is_empty() || !made.extracted.is_empty() {
        row("cmdline", made.disk.cmdline.clone());
    }
    for path in &made.extracted {
        row("wrote", path.clone());
    }
    for name in made.sealed.iter().flatten() {
        row("sealed", name.clone());
    }
    text
}

fn partition(partition: &Partition) -> Value {
    json!({
        "number": partition.number,
        "name": partition.name,
        "type": partition.kind.to_string(),
        "start": partition.start,
        "size": partition.len,
        "guid": partition.guid.map(|guid| guid.to_string()),
        "attributes": partition.attributes,
    })
}

fn json(made: &Made) -> Value {
    let partitions = made.disk.table.partitions.iter();
    let partitions: Vec<Value> = partitions.map(partition).collect();
    let kernels: Vec<Value> = made
        .disk
        .kernels
        .iter()
        .map(|kernel| {
            json!({
                "version": kernel.version,
                "path": kernel.path,
                "initrds": kernel.initrds.iter().map(|initrd| &initrd.path).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "path": made.path,
        "format": made.format,
        "size": BlockRead::len(&made.disk.image),
        "file_size": made.file_len,
        "sector_size": made.disk.table.sector_size,
        "partitions": partitions,
        "kernels": kernels,
        "cmdline": made.disk.cmdline,
        "root_hash": made.disk.root_hash,
        "extracted": made.extracted,
        "sealed": made.sealed,
        "root": summary::json(None, &made.root),
    })
}
