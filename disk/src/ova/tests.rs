use std::sync::Arc;

use forger_block::{BlockRead, Checked, MemorySink, PlacedSink, conformance};

use super::*;
use crate::{Unwatched, partition};

fn disk() -> Vec<u8> {
    let mut disk = vec![0; (1 << 20) + 512];
    disk[..1000].fill(1);
    disk[300_000..400_000].fill(2);
    disk
}

fn written(disk: &dyn BlockRead, options: &Options, threads: usize) -> Vec<u8> {
    let memory = MemorySink::new();
    let output = memory.output();
    let mut sink = Checked::new(memory);
    let len = write(disk, options, threads, &mut sink, &mut Unwatched).unwrap();
    Box::new(sink).finish(len).unwrap();
    output.bytes().unwrap().to_vec()
}

fn open(file: Vec<u8>) -> Result<Image, ReadError> {
    Image::open(Arc::new(file))
}

/// Replaces a word by another that is as long.
fn replaced(file: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = file
        .windows(from.len())
        .position(|window| window == from.as_bytes())
        .unwrap();
    let mut file = file.to_vec();
    file[at..at + from.len()].copy_from_slice(to.as_bytes());
    file
}

#[test]
fn machines_read_back_and_their_digests_match() {
    let options = Options {
        name: "a <b> & \"c\"".to_owned(),
        ..Options::default()
    };
    let file = written(&disk(), &options, 2);
    assert!(file == written(&disk(), &options, 1));
    assert!(file.len() as u64 <= full_len(disk().len() as u64, &options).unwrap());
    let image = open(file).unwrap();
    assert!(image.has_manifest());
    assert_eq!(image.disk_name(), "a--b-----c--disk1.vmdk");
    image.verify(&mut Unwatched).unwrap();
    let mut expected = disk();
    expected.resize(expected.len().next_multiple_of(65_536), 0);
    conformance::reader(&**image.disk(), &expected);
}

#[test]
fn a_disk_with_an_efi_partition_starts_by_efi() {
    assert_eq!(Firmware::of(&disk()), Firmware::Bios);
    let layout = partition::Layout {
        parts: vec![partition::Part {
            kind: partition::Kind::guid_named("esp").unwrap(),
            size: partition::Size::Bytes(1 << 20),
            ..partition::Part::default()
        }],
        ..partition::Layout::default()
    };
    assert_eq!(Firmware::of(&layout.plan().unwrap().image), Firmware::Efi);
}

#[test]
fn damage_is_noticed() {
    let file = written(&disk(), &Options::default(), 1);
    let verified = |file: Vec<u8>| open(file)?.verify(&mut Unwatched);
    verified(file.clone()).unwrap();
    let found = |file: Vec<u8>| {
        let file: Arc<dyn BlockRead> = Arc::new(file);
        check(&file).map(|report| report.findings)
    };
    assert!(found(file.clone()).unwrap().is_empty());
    assert!(matches!(found(vec![7; 5000]), Err(ReadError::NotOva)));
    assert!(matches!(open(vec![0; 5000]), Err(ReadError::NotOva)));
    assert!(matches!(open(vec![7; 5000]), Err(ReadError::NotOva)));
    let cut = file[..file.len() - 3000].to_vec();
    assert!(matches!(open(cut), Err(ReadError::Archive { .. })));
    let other = replaced(&file, "2 processors", "3 processors");
    let findings = found(other.clone()).unwrap();
    assert_eq!(
        (findings.len(), findings[0].location.as_str()),
        (1, "manifest")
    );
    assert!(matches!(verified(other), Err(ReadError::Sum { .. })));
    let gone = replaced(&file, "disk-disk1.vmdk\"", "disk-disk2.vmdk\"");
    assert_eq!(found(gone.clone()).unwrap()[0].location, "image");
    assert!(matches!(open(gone), Err(ReadError::Missing { .. })));
    let pieces = replaced(&file, "ovf:capacity=", "ovf:parentRef");
    assert!(open(pieces).is_err());
    let odd = replaced(&file, "SHA256(disk.ovf)", "SHA257(disk.ovf)");
    assert!(matches!(verified(odd), Err(ReadError::Manifest { .. })));
    let open_element = replaced(&file, "</Envelope>", "</Envelope ");
    assert!(matches!(open(open_element), Err(ReadError::Descriptor(_))));
    let none = replaced(&file, "ovf:fileRef", "ovf:filePef");
    assert!(matches!(open(none), Err(ReadError::Unsupported { .. })));
    let name = |name: &str| {
        let options = Options {
            name: name.to_owned(),
            ..Options::default()
        };
        full_len(0, &options).is_ok()
    };
    assert!(name("ä") && !name("") && !name("a\nb") && !name(&"a".repeat(100)));
}
