//! `forger check IMAGE`

mod part;

use std::ffi::OsString;
use std::sync::Arc;

use forger::address::Address;
use forger_block::{BlockRead, FileReader, Window};
use forger_disk::partition::{self, Partition};
use forger_disk::{Container, Format as DiskFormat, Severity, detect};
use serde_json::json;

use self::part::Part;
use crate::args::read::ReadArgs;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::listing;
use crate::medium::{self, Medium, Stored};
use crate::print::{self, Stream};
use crate::remedy;

/// Checks an image: the disk image file, its partition table, and every filesystem in it
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
Nothing is written. Of a disk image is checked what qemu-img check looks at, and more: that every cluster
is counted as often as it is referred to, that tables and blocks stand apart and inside the file,
checksums and copies. Of an ext2, ext3 or ext4 every invariant that e2fsck's five passes test; a journal
that needs recovery is replayed in memory first. Of a FAT that its folders and chains can be followed.

Each finding is one line with its place; advice (what deserves attention but is no damage) and leaks (space
that is lost, and nothing else) are marked as such. With #PART that partition alone is checked.

Examples:
  forger check rootfs.ext4
  forger check vm.qcow2
  forger check vm.qcow2#root
  forger check --output json rootfs.ext4 | jq .findings

Exit status: 0 no damage, 3 leaks alone, 4 damage, 1 it could not be checked, 2 wrong usage."
)]
pub(crate) struct Args {
    /// A disk (raw, qcow2, vhd, vhdx, vmdk), a partition of it (vm.qcow2#root), or a filesystem
    #[arg(value_name = "IMAGE[#PART]")]
    image: OsString,

    #[command(flatten)]
    read: ReadArgs,
}

/// Prints what was found.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let address = medium::address(&args.image)?;
    let parts = match address.part {
        Some(_) => vec![Part::of_filesystem(
            String::new(),
            &address,
            &Medium::open(&address, &args.read).map_err(Failure::or_damaged)?,
        )?],
        None => whole(&address, args)?,
    };
    let text = match global.output {
        Format::Json => print::json_line(&json(&parts)),
        Format::Text => parts.iter().map(Part::text).collect(),
    };
    print::result(Stream::Stdout, &text)?;
    verdict(&parts, &args.image.to_string_lossy())
}

/// Turns what was found into the exit status.
fn verdict(parts: &[Part], image: &str) -> Result<(), Failure> {
    let errors: usize = parts.iter().map(Part::errors).sum();
    let cut = parts.iter().any(|part| part.cut);
    match (errors, worst(parts)) {
        (1, _) => Err(Failure::damaged(format!("{image} is damaged"))),
        (0, Some(Severity::Leak)) => Err(Failure::leaks(format!(
            "space of {image} is lost, and nothing else"
        ))
        .help("forger convert makes a copy without it")),
        (0, None | Some(Severity::Advice)) => Ok(()),
        (count, _) => {
            let more = if cut { "at least " } else { "" };
            Err(Failure::damaged(format!(
                "{image} is damaged in {more}{} places",
                count.max(1)
            )))
        }
    }
}

fn worst(parts: &[Part]) -> Option<Severity> {
    parts.iter().filter_map(Part::worst).max()
}

fn json(parts: &[Part]) -> serde_json::Value {
    let findings: Vec<_> = parts.iter().flat_map(Part::findings_json).collect();
    let checked: Vec<_> = parts.iter().map(Part::json).collect();
    json!({
        "clean": worst(parts) < Some(Severity::Leak),
        "damaged": worst(parts) == Some(Severity::Error),
        "complete": parts.iter().all(|part| !part.cut),
        "findings": findings,
        "checked": checked,
    })
}

/// Checks an image file, the disk in it, and what that holds.
fn whole(address: &Address, args: &Args) -> Result<Vec<Part>, Failure> {
    let what = || format!("cannot read {}", address.image.display());
    let block = |error| remedy::block(what(), error);
    let wanted = args.read.input_format.map(DiskFormat::from);
    let stored = Stored::open(address, wanted, None)?;
    let file: Arc<dyn BlockRead> = Arc::<FileReader>::clone(&stored.image);
    let format = match wanted {
        Some(format) => format,
        None => detect(&file).map_err(block)?,
    };
    if format == DiskFormat::Raw {
        return inside(address, &Medium::of(&stored, address, &args.read)?);
    }
    let report = forger_disk::check(&file, format).map_err(|error| remedy::disk(what(), error))?;
    let container = Part::of_report(stored.name(format), report);
    let held = match Medium::of(&stored, address, &args.read) {
        Ok(medium) => inside(address, &medium),
        Err(failure) => Err(failure),
    };
    let mut parts = vec![container];
    match held {
        Ok(held) => parts.extend(held),
        // It was said what is wrong with the file; what it builds on may be missing.
        Err(failure) => parts.push(Part::left_out("disk".to_owned(), &failure)),
    }
    Ok(parts)
}

/// Checks the disk of an image file: its partition table and its filesystems.
fn inside(address: &Address, medium: &Medium) -> Result<Vec<Part>, Failure> {
    let block = |error| {
        remedy::block(format!("cannot read {}", address.image.display()), error).or_damaged()
    };
    let (table, report) = partition::check(&medium.reader).map_err(block)?;
    let raw = matches!(medium.container, Container::Raw(_));
    let Some(table) = table else {
        if report.worst().is_some() {
            return Ok(vec![Part::of_report("partition table".to_owned(), report)]);
        }
        return Ok(vec![match raw {
            true => Part::of_filesystem(String::new(), address, medium)?,
            false => Part::of_partition("disk".to_owned(), &medium.reader),
        }]);
    };
    let mut parts = vec![Part::of_report("partition table".to_owned(), report)];
    // An extended partition holds others, and no filesystem.
    let is_extended = |part: &&Partition| part.kind.name().as_deref() == Some("extended");
    for partition in table.partitions.iter().filter(|part| !is_extended(part)) {
        let reader = Window::new(Arc::clone(&medium.reader), partition.start..partition.end());
        let reader: Arc<dyn BlockRead> = Arc::new(reader.map_err(block)?);
        parts.push(Part::of_partition(shown(partition), &reader));
    }
    Ok(parts)
}

/// Returns how a partition is called in front of its findings.
fn shown(partition: &Partition) -> String {
    let kind = partition.kind;
    let kind = kind.name().unwrap_or_else(|| kind.to_string());
    format!("#{} {}", partition.number, listing::shown(kind.as_bytes()))
}
