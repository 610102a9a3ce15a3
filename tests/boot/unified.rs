//! Unified kernel images of a stub that is a file: what is in their sections.

use std::fs;

use forger_tests::forger::forger;
use forger_tests::scratch::Scratch;

use super::{cat, disk, fake};

/// Where the sections' headers stand in a stub.
const TABLE: usize = 0x58 + 240;

/// A program with one section, and room for `room` further headers.
fn stub(room: usize) -> Vec<u8> {
    let headers = TABLE + 40 + room * 40;
    let mut bytes = vec![0; headers + 512];
    let long = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
    for (at, value) in [
        (0, &b"MZ"[..]),
        (0x3c, &long(0x40)),
        (0x40, b"PE\0\0\x64\x86\x01\0"),
        (0x54, &240_u16.to_le_bytes()),
        (0x58, &0x20b_u16.to_le_bytes()),
        (0x58 + 32, &long(4096)),
        (0x58 + 36, &long(512)),
        (0x58 + 60, &long(headers)),
        (TABLE, b".sbat\0\0\0"),
        (TABLE + 8, &long(100)),
        (TABLE + 12, &long(4096)),
        (TABLE + 16, &long(512)),
        (TABLE + 20, &long(headers)),
        (headers, b"sbat,1"),
    ] {
        bytes[at..at + value.len()].copy_from_slice(value);
    }
    bytes
}

/// Returns what the section of this name holds.
fn section<'a>(program: &'a [u8], name: &str) -> &'a [u8] {
    let long = |at: usize| {
        let bytes = program[at..at + 4].try_into().unwrap();
        usize::try_from(u32::from_le_bytes(bytes)).unwrap()
    };
    let count = usize::from(program[0x46]);
    let mut headers = (0..count).map(|index| TABLE + index * 40);
    let at = headers.find(|&at| program[at..at + 8].starts_with(name.as_bytes()));
    let at = at.unwrap_or_else(|| panic!("{name} is there"));
    &program[long(at + 20)..long(at + 20) + long(at + 8)]
}

#[test]
fn a_stub_takes_the_kernel_and_several_initial_ram_disks_as_one() {
    let scratch = Scratch::new();
    let microcode = scratch.file("microcode", vec![8_u8; 1001]);
    let own = scratch.file("stub", stub(5));
    let out = scratch.path("disk.raw");
    let made = disk(
        &fake(&scratch),
        &out,
        &[
            &["--boot", "uki", "--stub", own.to_str().unwrap()][..],
            &["--initrd", microcode.to_str().unwrap()],
            &["--cmdline", "quiet"],
        ]
        .concat(),
    );
    assert!(made.status.success(), "{made}");
    let listed = forger().arg("find");
    let folder = format!("{}#esp:/EFI/Linux", out.display());
    let listed = listed.arg(folder).arg("*5.10.0-2*").ok();
    let name = listed.text().trim().to_owned();
    let unified = cat(&out, &format!("esp:{name}"));
    assert_eq!(&section(&unified, ".sbat")[..6], b"sbat,1");
    assert_eq!(section(&unified, ".linux"), vec![1; 300_000]);
    assert_eq!(section(&unified, ".uname"), b"5.10.0-2\0");
    // Each starts at a multiple of 4.
    let expected = [&[8; 1001][..], &[0; 3], &vec![2; 500_000]].concat();
    assert!(section(&unified, ".initrd") == expected);
    let cmdline = String::from_utf8(section(&unified, ".cmdline").to_vec()).unwrap();
    assert!(
        cmdline.starts_with("root=PARTUUID=") && cmdline.ends_with(" rw quiet\0"),
        "{cmdline}"
    );
    let release = section(&unified, ".osrel");
    assert!(release.starts_with(b"ID=fake\n"));
}

#[test]
fn a_stub_without_room_for_headers_is_refused_and_leaves_nothing() {
    let scratch = Scratch::new();
    let own = scratch.file("stub", stub(4));
    let out = scratch.path("disk.raw");
    let args = ["--boot", "uki", "--stub", own.to_str().unwrap()];
    let refused = disk(&fake(&scratch), &out, &args);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    let said = refused.errors();
    assert!(said.contains("the stub that was given"), "{said}");
    assert!(said.contains('4') && said.contains('5'), "{said}");
    assert!(!out.exists());
}

#[test]
fn a_loader_of_another_machine_is_taken_from_a_file() {
    let scratch = Scratch::new();
    let loader = scratch.file("loader", vec![5; 70_000]);
    let out = scratch.path("disk.raw");
    let args = ["--arch", "aarch64", "--systemd-boot"];
    let args = [&args[..], &[loader.to_str().unwrap()]].concat();
    let made = disk(&fake(&scratch), &out, &args);
    assert!(made.status.success(), "{made}");
    for name in ["EFI/BOOT/BOOTAA64.EFI", "EFI/systemd/systemd-bootaa64.efi"] {
        let taken = cat(&out, &format!("esp:/{name}"));
        assert!(taken == fs::read(&loader).unwrap(), "{name}");
    }
}
