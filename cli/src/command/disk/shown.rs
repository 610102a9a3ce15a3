//! What a disk is, for people and for programs.

use forger_block::BlockRead;
use forger_disk::partition::{Kind, Partition, Scheme, Table};
use serde_json::{Value, json};

use super::Made;
use crate::args::size::{both, human};
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
    let size = BlockRead::len(&made.disk.image);
    let mut text = String::new();
    let mut row = |name: &str, value: String| text.push_str(&format!("{name:<8}{value}\n"));
    if let Some(path) = &made.path {
        row("path", path.clone());
        row("format", made.format.to_owned());
    }
    row("size", both(size));
    if let Some(len) = made.file_len {
        row("file", both(len));
    }
    let table = &made.disk.table;
    if let Scheme::Mbr(signature) = table.scheme {
        row("table", format!("mbr, {signature:08x}"));
    }
    for partition in &table.partitions {
        let mut words = vec![name(partition), human(partition.len)];
        words.extend(table.partuuid(partition));
        let active = matches!(table.scheme, Scheme::Mbr(_)) && partition.attributes != 0;
        words.extend(active.then(|| "active".to_owned()));
        row(&format!("part {}", partition.number), words.join(", "));
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

/// Returns what a partition is called: in an MBR by its type.
fn name(partition: &Partition) -> String {
    match partition.kind {
        Kind::Gpt(_) => partition.name.clone(),
        Kind::Mbr(_) => {
            let name = partition.kind.name();
            name.unwrap_or_else(|| partition.kind.to_string())
        }
    }
}

fn partition(table: &Table, partition: &Partition) -> Value {
    json!({
        "number": partition.number,
        "name": partition.name,
        "type": partition.kind.to_string(),
        "start": partition.start,
        "size": partition.len,
        "guid": partition.guid.map(|guid| guid.to_string()),
        "partuuid": table.partuuid(partition),
        "attributes": partition.attributes,
    })
}

fn json(made: &Made) -> Value {
    let table = &made.disk.table;
    let partitions = table.partitions.iter();
    let partitions: Vec<Value> = partitions.map(|part| partition(table, part)).collect();
    let (scheme, id) = match table.scheme {
        Scheme::Gpt(guid) => ("gpt", guid.to_string()),
        Scheme::Mbr(signature) => ("mbr", format!("0x{signature:08x}")),
    };
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
        "table": scheme,
        "disk_id": id,
        "partitions": partitions,
        "kernels": kernels,
        "cmdline": made.disk.cmdline,
        "root_hash": made.disk.root_hash,
        "extracted": made.extracted,
        "sealed": made.sealed,
        "root": summary::json(None, &made.root),
    })
}
