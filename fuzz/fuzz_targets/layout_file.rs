//! Layouts that stand in files: read to an end, and laid out as they say.
//!
//! Oracle: nothing panics. A dump of sfdisk that is taken is refused by the planner of tables, or every
//! partition stands where the dump says, and the table reads back. A definition of systemd-repart that is
//! taken says of its type what it says again when it is read once more. The first byte chooses.
#![no_main]

use forger::layout::{repart, sfdisk};
use forger_disk::partition::{self, Label, Layout, Part, Size};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, rest)) = input.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    match choice % 3 {
        0 => dump(&text),
        1 => dump(&described(rest)),
        _ => {
            if let Ok(read) = repart::parse("x.conf", &text) {
                let again = repart::parse("x.conf", &text).expect("it was taken before");
                assert_eq!(read.kind, again.kind);
            }
        }
    }
});

/// Describes partitions by the input's bytes.
fn described(input: &[u8]) -> String {
    let kinds = [
        "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
        "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
        "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    ];
    let parts = input.chunks_exact(5).map(|part| {
        let [start, size] = [0, 2].map(|at| u64::from(part[at]) << (part[at + 1] % 40));
        let kind = kinds[usize::from(part[4] % 3)];
        let bit = part[4] / 3;
        format!(r#"{{"start":{start},"size":{size},"type":"{kind}","attrs":"GUID:{bit}"}}"#)
    });
    let parts: Vec<String> = parts.collect();
    format!(
        r#"{{"partitiontable":{{"label":"gpt","unit":"sectors","partitions":[{}]}}}}"#,
        parts.join(",")
    )
}

fn dump(text: &str) {
    let Ok(dump) = sfdisk(text) else {
        return;
    };
    let parts: Vec<Part> = dump.slots.iter().map(|slot| slot.part.clone()).collect();
    let layout = Layout {
        size: dump.size,
        sector_size: dump.sector_size,
        label: dump.label,
        guid: dump.guid,
        parts,
        ..Layout::default()
    };
    let Ok(planned) = layout.plan() else {
        return;
    };
    for (index, part) in layout.parts.iter().enumerate() {
        let planned = &planned.table.partitions[layout.index(index)];
        assert_eq!(part.start, Some(planned.start));
        assert_eq!(part.size, Size::Bytes(planned.len));
        assert_eq!(part.attributes, planned.attributes);
    }
    let read = partition::read(&planned.image, Some(dump.sector_size));
    let read = read.expect("a planned table is sound");
    if read.is_none() && layout.label != Label::Gpt {
        // Nobody takes an MBR without partitions for one.
        assert!(layout.parts.is_empty());
        return;
    }
    assert_eq!(read.expect("and there"), planned.table);
}
