//! `forger info IMAGE`

use std::ffi::OsString;

use forger::address::Address;
use forger_block::{BlockRead, FileReader};
use forger_disk::partition::{Partition, Scheme, Table};
use forger_disk::{Container, Format as DiskFormat, android_sparse, qcow2};
use forger_fs::ext4::Image;
use forger_fs::fat::Volume;
use serde_json::{Value, json};

use crate::args::read::ReadArgs;
use crate::args::{Format, Global, uuid};
use crate::exit::Failure;
use crate::fat_view;
use crate::image::filesystem;
use crate::listing;
use crate::medium::{self, Medium};
use crate::print::{self, Stream};
use crate::remedy;

/// Shows what an image is: format, size, partitions; of a filesystem usage, features, times
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
A disk is shown with its format and its partitions, a filesystem with its facts; a partition is
named as in vm.qcow2#root. Of an image that builds on another file only its own facts are shown, unless
--allow-backing lets it read that file.

Examples:
  forger info rootfs.ext4
  forger info vm.qcow2
  forger info vm.qcow2#root
  forger info --output json rootfs.ext4 | jq -r .uuid

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    /// A disk (raw, qcow2, vhd, vhdx, vmdk), a partition of it, or an ext2, ext3 or ext4 image
    #[arg(value_name = "IMAGE[#PART]")]
    image: OsString,

    #[command(flatten)]
    read: ReadArgs,
}

/// Prints the facts.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let address = medium::address(&args.image)?;
    let facts = match Medium::open(&address, &args.read) {
        Ok(medium) => facts(&address, &medium)?,
        // What an image builds on is not needed to say so.
        Err(failure) if failure.lacks_leave() && address.part.is_none() => of_header(&address)?,
        Err(failure) => return Err(failure),
    };
    let text = match global.output {
        Format::Json => print::json_line(&facts),
        Format::Text => text(&facts),
    };
    print::result(Stream::Stdout, &text)
}

fn facts(address: &Address, medium: &Medium) -> Result<Value, Failure> {
    if medium.part.is_some() {
        return held(address, medium);
    }
    let table = medium.table().map_err(|error| {
        Failure::failed(format!("cannot read {}", address.disk())).because(error)
    })?;
    let raw = medium.container.format() == DiskFormat::Raw;
    if raw && table.is_none() {
        return held(address, medium);
    }
    let mut facts = json!({
        "type": "disk",
        "format": medium.format_name(),
        "size": medium.reader.len(),
        "file_size": medium.file_len,
    });
    match &medium.container {
        Container::Qcow2(image) => facts["qcow2"] = of_qcow2(image.header()),
        Container::Vhd(image) => facts["vhd"] = json!({ "fixed": image.is_fixed() }),
        Container::Vhdx(image) => facts["vhdx"] = json!({ "sector_size": image.sector_size() }),
        Container::Vmdk(image) => facts["vmdk"] = json!({ "compressed": image.is_compressed() }),
        Container::Ova(image) => {
            facts["ova"] = json!({
                "disk": image.disk_name(),
                "manifest": image.has_manifest(),
            });
        }
        Container::AndroidSparse(image) => {
            facts["android_sparse"] = json!({
                "block_size": image.block_size(),
                "checksums": image.has_checksums(),
                "dont_care": image.zeros() == android_sparse::Zeros::DontCare,
            });
        }
        _ => {}
    }
    match &table {
        Some(table) => facts["partition_table"] = of_table(table),
        None => {
            if let Ok(image) = Image::open(medium.reader.clone()) {
                facts["filesystem"] = of_filesystem(&image);
            } else if let Ok(Some(volume)) = fat_view::volume(&medium.reader) {
                facts["filesystem"] = of_fat(&volume, address)?;
            }
        }
    }
    Ok(facts)
}

/// Returns the facts of a qcow2 image whose disk cannot be read for want of another file.
fn of_header(address: &Address) -> Result<Value, Failure> {
    let what = || format!("cannot read {}", address.image.display());
    let file = FileReader::open(&address.image).map_err(|error| remedy::block(what(), error))?;
    let header =
        qcow2::Header::read(&file).map_err(|error| Failure::failed(what()).because(error))?;
    Ok(json!({
        "type": "disk",
        "format": DiskFormat::Qcow2.to_string(),
        "size": header.size,
        "file_size": file.len(),
        "qcow2": of_qcow2(&header),
    }))
}

fn of_qcow2(header: &qcow2::Header) -> Value {
    let snapshots: Vec<Value> = header
        .snapshots
        .iter()
        .map(|snapshot| {
            json!({
                "id": snapshot.id,
                "name": snapshot.name,
                "seconds": snapshot.seconds,
                "vm_state_size": snapshot.vm_state_size,
            })
        })
        .collect();
    json!({
        "version": header.version,
        "cluster_size": header.cluster_size,
        "refcount_bits": header.refcount_bits,
        "compression": header.codec.to_string(),
        "extended_l2": header.extended_l2,
        "dirty": header.dirty,
        "corrupt": header.corrupt,
        "bitmaps": header.bitmaps,
        "backing_file": header.backing_file,
        "backing_format": header.backing_format,
        "data_file": header.data_file,
        "snapshots": snapshots,
    })
}

fn of_table(table: &Table) -> Value {
    let (scheme, id) = match table.scheme {
        Scheme::Gpt(guid) => ("gpt", guid.to_string()),
        Scheme::Mbr(signature) => ("mbr", format!("0x{signature:08x}")),
    };
    let notes: Vec<String> = table.notes.iter().map(ToString::to_string).collect();
    let partitions: Vec<Value> = table.partitions.iter().map(of_partition).collect();
    json!({
        "scheme": scheme,
        "id": id,
        "sector_size": table.sector_size,
        "notes": notes,
        "partitions": partitions,
    })
}

fn of_partition(partition: &Partition) -> Value {
    json!({
        "number": partition.number,
        "start": partition.start,
        "size": partition.len,
        "type": partition.kind.to_string(),
        "type_name": partition.kind.name(),
        "name": partition.name,
        "guid": partition.guid.map(|guid| guid.to_string()),
        "attributes": format!("0x{:x}", partition.attributes),
    })
}

/// Returns the facts of the filesystem that a medium holds.
fn held(address: &Address, medium: &Medium) -> Result<Value, Failure> {
    match fat_view::volume(&medium.reader) {
        Ok(Some(volume)) => of_fat(&volume, address),
        _ => filesystem(address, medium).map(|image| of_filesystem(&image)),
    }
}

fn of_fat(volume: &Volume, address: &Address) -> Result<Value, Failure> {
    let geometry = volume.geometry();
    let free = volume.free_clusters().map_err(|error| {
        Failure::failed(format!("cannot read {}", address.disk())).because(error)
    })?;
    Ok(json!({
        "type": "vfat",
        "bits": geometry.bits.to_string(),
        "label": volume.label(),
        "volume_id": volume.volume_id().map(uuid::volume_text),
        "size": geometry.bytes(),
        "free": u64::from(free) * geometry.cluster(),
        "sector_size": geometry.sector,
        "cluster_size": geometry.cluster(),
        "clusters": geometry.clusters,
    }))
}

fn of_filesystem(image: &Image) -> Value {
    let superblock = image.superblock();
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
        "journal_replayed": image.replayed(),
        "features": superblock.features(),
    })
}

/// Returns the facts as aligned lines: objects below their names, partitions one a line.
fn text(facts: &Value) -> String {
    let mut text = String::new();
    lines(facts, "", &mut text);
    text
}

fn lines(facts: &Value, prefix: &str, text: &mut String) {
    for (name, value) in facts.as_object().into_iter().flatten() {
        let name = format!("{prefix}{name}");
        match value {
            Value::Object(_) => lines(value, &format!("{name}."), text),
            Value::Array(rows) if rows.first().is_some_and(Value::is_object) => {
                text.extend(
                    rows.iter()
                        .map(|row| format!("{name:<29}{}\n", row_text(row))),
                );
            }
            Value::Array(words) if prefix.is_empty() => {
                text.push_str(&format!("{name:<18}{}\n", joined(words, " ")));
            }
            Value::Array(words) if words.is_empty() => {}
            Value::Array(words) => {
                text.push_str(&format!("{name:<29}{}\n", joined(words, "; ")));
            }
            Value::Null => {}
            value => {
                let width = if prefix.is_empty() { 18 } else { 29 };
                text.push_str(&format!("{name:<width$}{}\n", word(value)));
            }
        }
    }
}

/// Returns the values of an object on one line.
fn row_text(row: &Value) -> String {
    let fields = row.as_object().into_iter().flatten();
    let words: Vec<String> = fields
        .filter(|(_, value)| !value.is_null() && *value != "")
        .map(|(name, value)| format!("{name}={}", listing::shown(word(value).as_bytes())))
        .collect();
    words.join(" ")
}

fn joined(words: &[Value], between: &str) -> String {
    let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
    words.join(between)
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => listing::shown(text.as_bytes()),
        other => other.to_string(),
    }
}
