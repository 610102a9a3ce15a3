//! What `sfdisk --json` says of a disk: everything stands where it stood there.

use forger_disk::Guid;
use forger_disk::partition::{
    ATTRIBUTE_LEGACY_BOOT, ATTRIBUTE_REQUIRED, Label, Part, Size as PartSize,
};
use serde::Deserialize;

use super::Error;
use crate::assemble::{Fill, Slot, Type};

/// A disk as a dump describes it.
#[derive(Clone, Debug)]
pub struct Dump {
    /// Bytes in a sector.
    pub sector_size: u64,
    /// The disk's size in bytes, where the dump says where the last partition may end.
    pub size: Option<u64>,
    /// The kind of table.
    pub label: Label,
    /// The disk's GUID, in a GPT.
    pub guid: Option<Guid>,
    /// The partitions, in the order of the dump.
    pub slots: Vec<Slot>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    partitiontable: Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    label: String,
    id: Option<String>,
    /// Which disk it was; no matter here.
    #[serde(rename = "device")]
    _device: Option<String>,
    unit: Option<String>,
    /// Where partitions may start; those that are there say it better.
    #[serde(rename = "firstlba")]
    _firstlba: Option<u64>,
    lastlba: Option<u64>,
    #[serde(rename = "table-length")]
    table_length: Option<u64>,
    /// What sfdisk aligns further partitions to.
    #[serde(rename = "grain")]
    _grain: Option<String>,
    sectorsize: Option<u64>,
    #[serde(default)]
    partitions: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Which partition it was: numbers follow the order here.
    #[serde(rename = "node")]
    _node: Option<String>,
    start: u64,
    size: u64,
    #[serde(rename = "type")]
    kind: String,
    uuid: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    attrs: String,
    /// Of an MBR: whether it is the active one.
    #[serde(default)]
    bootable: bool,
}

/// Reads a dump.
///
/// # Errors
/// What is no dump, tables other than GPTs and MBRs, and values that these do not have.
pub fn sfdisk(text: &str) -> Result<Dump, Error> {
    let Whole { partitiontable } = serde_json::from_str(text).map_err(Error::Json)?;
    let table = partitiontable;
    let field = |field: &str, value: &str, rule| Error::Field {
        field: field.to_owned(),
        value: value.to_owned(),
        rule,
    };
    let is_mbr = match table.label.as_str() {
        "gpt" => false,
        "dos" => true,
        label => {
            return Err(field(
                "label",
                label,
                "disks are laid out with a GPT or an MBR",
            ));
        }
    };
    if let Some(unit) = table.unit.filter(|unit| unit != "sectors") {
        return Err(field("unit", &unit, "places are given in sectors"));
    }
    if let Some(len) = table.table_length.filter(|len| *len != 128) {
        let rule = "tables have 128 entries";
        return Err(field("table-length", &len.to_string(), rule));
    }
    let sector_size = table.sectorsize.unwrap_or(512);
    if !matches!(sector_size, 512 | 4096) {
        let rule = "512 and 4096 are possible";
        return Err(field("sectorsize", &sector_size.to_string(), rule));
    }
    let guid = |name: &str, text: &Option<String>| {
        let parsed = text.as_deref().map(str::parse::<Guid>).transpose();
        let text = text.clone().unwrap_or_default();
        parsed.map_err(|_| field(name, &text, "it is no GUID"))
    };
    let mut slots = Vec::new();
    for (index, entry) in table.partitions.iter().enumerate() {
        let name = |field: &str| format!("{field} of partition {}", index + 1);
        let bytes = |what: &str, sectors: u64| {
            let bytes = sectors.checked_mul(sector_size);
            let most = bytes.filter(|bytes| *bytes <= forger_block::MAX_LEN);
            most.ok_or_else(|| field(&name(what), &sectors.to_string(), "no disk is that large"))
        };
        let kind = match is_mbr {
            true => Type::named(&format!("0x{}", entry.kind)),
            false => Type::named(&entry.kind),
        };
        let rule = if is_mbr {
            "it is no byte"
        } else {
            "it is no GUID"
        };
        let kind = kind.ok_or_else(|| field(&name("type"), &entry.kind, rule))?;
        let attributes = attributes(&entry.attrs)
            .ok_or_else(|| field(&name("attrs"), &entry.attrs, "they are not known"))?;
        slots.push(Slot {
            fill: Fill::Given,
            part: Part {
                name: entry.name.clone(),
                guid: guid(&name("uuid"), &entry.uuid)?,
                attributes: attributes
                    | if entry.bootable {
                        ATTRIBUTE_LEGACY_BOOT
                    } else {
                        0
                    },
                size: PartSize::Bytes(bytes("size", entry.size)?),
                start: Some(bytes("start", entry.start)?),
                ..Part::default()
            },
            kind,
        });
    }
    let (mut label, mut id) = (Label::Gpt, table.id);
    if is_mbr {
        let signature = id.take().map(|id| {
            let digits = id.strip_prefix("0x").unwrap_or(&id);
            u32::from_str_radix(digits, 16).map_err(|_| field("id", &id, "it is no signature"))
        });
        label = Label::Mbr {
            signature: signature.transpose()?,
            primaries: primaries(&mut slots).map_err(|number| {
                let rule = "primary partitions stand before the extended one, logical ones inside";
                field("start of partition", &number.to_string(), rule)
            })?,
        };
    }
    assign(&mut slots);
    // Behind the last usable sector stand the copies of entries and header.
    let tail = 16_384 / sector_size + 2;
    let size = table.lastlba.filter(|_| !is_mbr).and_then(|last| {
        let sectors = last.checked_add(tail)?;
        sectors.checked_mul(sector_size)
    });
    Ok(Dump {
        sector_size,
        size: size.filter(|size| *size <= forger_block::MAX_LEN),
        label,
        guid: guid("id", &id)?,
        slots,
    })
}

/// Takes the extended partition out, which follows from the logical ones in it, and returns how many
/// partitions are primary where there is one.
///
/// # Errors
/// The number of a partition that stands elsewhere.
fn primaries(slots: &mut Vec<Slot>) -> Result<Option<usize>, usize> {
    let is_extended = |slot: &Slot| slot.kind.name().as_deref() == Some("extended");
    let Some(at) = slots.iter().position(is_extended) else {
        return Ok(None);
    };
    let range = |slot: &Slot| {
        let start = slot.part.start.unwrap_or(0);
        match slot.part.size {
            PartSize::Bytes(len) => start..start.saturating_add(len),
            _ => start..start,
        }
    };
    let extended = range(&slots.remove(at));
    let outside = |slot: &Slot| !extended.contains(&range(slot).start);
    match slots.iter().skip(at).position(outside) {
        Some(index) => Err(at + index + 2),
        None => Ok(Some(at)),
    }
}

/// Decides what goes where: what boots into the ESP, the root filesystem into the partition of that type, or
/// into the only one for any Linux filesystem, or the only active one of these.
fn assign(slots: &mut [Slot]) {
    let is = |slot: &Slot, name: &str| slot.kind.name().as_deref() == Some(name);
    let is_active = |slot: &Slot| slot.part.attributes & ATTRIBUTE_LEGACY_BOOT != 0;
    let only = |test: &dyn Fn(&Slot) -> bool| {
        let mut found = slots.iter().enumerate().filter(|(_, slot)| test(slot));
        match (found.next(), found.next()) {
            (Some((index, _)), None) => Some(index),
            _ => None,
        }
    };
    let root = only(&|slot| slot.kind.is_root())
        .or_else(|| only(&|slot| is(slot, "linux-generic")))
        .or_else(|| only(&|slot| is(slot, "linux-generic") && is_active(slot)));
    let boot = only(&|slot| slot.kind.is_esp());
    for (index, slot) in slots.iter_mut().enumerate() {
        if Some(index) == root {
            slot.fill = Fill::Root;
        } else if Some(index) == boot {
            slot.fill = Fill::Boot;
        } else if is(slot, "swap") {
            slot.fill = Fill::Swap;
        }
    }
}

/// Reads attributes as sfdisk writes them: `RequiredPartition GUID:59,63`.
fn attributes(text: &str) -> Option<u64> {
    let mut bits = 0;
    for word in text.split_whitespace() {
        bits |= match word {
            "RequiredPartition" => ATTRIBUTE_REQUIRED,
            "NoBlockIOProtocol" => 1 << 1,
            "LegacyBIOSBootable" => ATTRIBUTE_LEGACY_BOOT,
            word => {
                let numbers = word.strip_prefix("GUID:").unwrap_or(word).split(',');
                let mut own = 0;
                for number in numbers {
                    let number: u32 = number.parse().ok().filter(|number| *number < 64)?;
                    own |= 1 << number;
                }
                own
            }
        };
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = r#"{"partitiontable": {
        "label":"gpt", "id":"BE2E55DC-8B26-44BC-B4A9-5CA1A6DC1B5C", "device":"/dev/sda", "unit":"sectors",
        "firstlba":34, "lastlba":8388574, "sectorsize":512,
        "partitions": [
          {"node":"/dev/sda1", "start":2048, "size":532480, "type":"C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
           "uuid":"0FC63DAF-8483-4772-8E79-3D69D8477DE4", "name":"EFI", "attrs":"RequiredPartition"},
          {"node":"/dev/sda2", "start":534528, "size":262144, "type":"0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"},
          {"node":"/dev/sda3", "start":796672, "size":7591903, "type":"0FC63DAF-8483-4772-8E79-3D69D8477DE4",
           "attrs":"LegacyBIOSBootable GUID:59,63"}
        ]}}"#;

    #[test]
    fn a_dump_becomes_slots_in_their_places() {
        let dump = sfdisk(DUMP).unwrap();
        assert_eq!(dump.size, Some(4 << 30));
        assert!(dump.guid.is_some());
        let fills: Vec<_> = dump.slots.iter().map(|slot| slot.fill.clone()).collect();
        assert_eq!(fills, [Fill::Boot, Fill::Swap, Fill::Root]);
        let root = &dump.slots[2].part;
        assert_eq!(root.start, Some(796_672 * 512));
        assert_eq!(root.attributes, 1 << 2 | 1 << 59 | 1 << 63);
        assert_eq!(dump.slots[0].part.attributes, 1);
        assert_eq!(dump.slots[0].part.name, "EFI");
    }

    #[test]
    fn an_mbr_becomes_primary_and_logical_slots() {
        let entry = |start: u32, size: u32, kind: &str, more: &str| {
            format!(r#"{{"node":"d","start":{start},"size":{size},"type":"{kind}"{more}}}"#)
        };
        let dump = |entries: &[String]| {
            format!(
                r#"{{"partitiontable": {{"label":"dos", "id":"0x0badcafe", "device":"d", "unit":"sectors",
                "sectorsize":512, "partitions": [{}]}}}}"#,
                entries.join(",")
            )
        };
        let mut entries = vec![
            entry(2048, 204_800, "ef", ""),
            entry(206_848, 409_600, "83", r#","bootable":true"#),
            entry(616_448, 30_000, "f", ""),
            entry(618_496, 2048, "82", ""),
            entry(622_592, 2048, "83", ""),
        ];
        let found = sfdisk(&dump(&entries)).unwrap();
        let label = Label::Mbr {
            signature: Some(0x0bad_cafe),
            primaries: Some(2),
        };
        assert_eq!((found.label, found.size, found.guid), (label, None, None));
        let fills: Vec<_> = found.slots.iter().map(|slot| slot.fill.clone()).collect();
        assert_eq!(fills, [Fill::Boot, Fill::Root, Fill::Swap, Fill::Given]);
        assert_eq!(found.slots[1].part.attributes, ATTRIBUTE_LEGACY_BOOT);
        assert_eq!(found.slots[3].part.start, Some(622_592 * 512));
        entries[4] = entry(700_000, 2048, "83", "");
        let error = sfdisk(&dump(&entries)).unwrap_err().to_string();
        assert!(
            error.contains("partition") && error.contains('5'),
            "{error}"
        );
    }

    #[test]
    fn what_is_not_known_is_refused_by_its_name() {
        for (from, to, said) in [
            ("\"unit\"", "\"units\"", "units"),
            ("\"gpt\"", "\"sun\"", "label"),
            ("\"gpt\"", "\"dos\"", "type of partition 1"),
            ("GUID:59,63", "GUID:64", "attrs of partition 3"),
            ("0657FD6D", "Z657FD6D", "type of partition 2"),
            ("\"sectorsize\":512", "\"sectorsize\":520", "sectorsize"),
            ("7591903", "18446744073709551615", "size of partition 3"),
        ] {
            let error = sfdisk(&DUMP.replace(from, to)).unwrap_err();
            let text = match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            assert!(text.contains(said), "{said}: {text}");
        }
    }
}
