//! Packages, bundles and kernels that are made byte by byte.

use std::io::Cursor;

use forger_fs::source::{Entry, EntryKind};
use forger_fs::tar::Writer;
use forger_fs::tree::{Content, Meta};

use super::*;

/// A tar of files.
fn tarred(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, content) in files {
        let entry = Entry {
            path: name.as_bytes().to_vec(),
            kind: EntryKind::File {
                size: content.len() as u64,
            },
            meta: Meta {
                mode: 0o644,
                ..Meta::default()
            },
            offset: None,
        };
        writer
            .append(&entry, &Content::inline(content.to_vec()))
            .unwrap();
    }
    writer.finish().unwrap()
}

/// An ar archive of members.
fn package(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let len = content.len();
        let header = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{len:<10}`\n",
            0, 0, 0, 100_644
        );
        bytes.extend(header.bytes());
        bytes.extend(*content);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

fn control(text: &str) -> Vec<u8> {
    tarred(&[("./md5sums", b"x"), ("./control", text.as_bytes())])
}

/// Reads a package whole.
fn read(bytes: Vec<u8>) -> Result<(Control, Vec<Piece>), Error> {
    let mut package = Package::open(Cursor::new(bytes))?;
    let mut pieces = Vec::new();
    while let Some(piece) = package.next_piece()? {
        pieces.push(piece);
    }
    Ok((package.control, pieces))
}

/// An ELF file of 64 bits with one section.
pub(super) fn module(info: &[u8]) -> Vec<u8> {
    let names = b"\0.modinfo\0.shstrtab\0";
    let (info_at, names_at) = (64_u64, 64 + info.len() as u64);
    let table = (names_at + names.len() as u64).next_multiple_of(8);
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(0x12, 0);
    bytes.extend(62_u16.to_le_bytes());
    bytes.resize(0x28, 0);
    bytes.extend(table.to_le_bytes());
    bytes.resize(0x3a, 0);
    for field in [64_u16, 3, 2] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(info);
    bytes.extend(names);
    bytes.resize(usize::try_from(table).unwrap(), 0);
    for (name, at, len) in [
        (0_u32, 0, 0),
        (1, info_at, info.len() as u64),
        (10, names_at, names.len() as u64),
    ] {
        let start = bytes.len();
        bytes.extend(name.to_le_bytes());
        bytes.resize(start + 0x18, 0);
        bytes.extend(at.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.resize(start + 64, 0);
    }
    bytes
}

#[test]
fn kernel_and_modules_are_taken_out_of_a_package() {
    let control = control("Package: linux-image-6.1\nVersion: 6.1.2-1\nArchitecture: amd64\n");
    let data = tarred(&[
        ("./boot/vmlinuz-6.1.0-cloud", b"a kernel"),
        ("./boot/config-6.1.0-cloud", b"CONFIG"),
        ("./lib/modules/6.1.0-cloud/kernel/fs/a-b.ko.xz", b"a module"),
        (
            "./usr/lib/modules/6.1.0-cloud/modules.builtin",
            b"kernel/fs/ext4/ext4.ko\n",
        ),
    ]);
    let bytes = package(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar", &control),
        ("data.tar", &data),
    ]);
    let (control, pieces) = read(bytes.clone()).unwrap();
    assert_eq!(control.package, "linux-image-6.1");
    let places: Vec<&Place> = pieces.iter().map(|piece| &piece.place).collect();
    assert_eq!(
        places,
        [
            &Place::Kernel(Some("6.1.0-cloud".to_owned())),
            &Place::Module("kernel/fs/a-b.ko.xz".to_owned()),
            &Place::List("modules.builtin"),
        ]
    );
    assert_eq!(pieces[1].bytes, b"a module");
    // Cut anywhere before the end marker, it is an error.
    for len in (0..bytes.len() - 1024).step_by(61) {
        assert!(read(bytes[..len].to_vec()).is_err(), "{len}");
    }
}

#[test]
fn a_metapackage_names_the_kernels_that_it_needs() {
    let control = control(
        "Package: linux-image-cloud-amd64\n\
         Depends: linux-image-6.1.0-18-cloud-amd64 (= 6.1.76-1) | x, y\n",
    );
    let data = tarred(&[("a", b"b")]);
    let (control, pieces) =
        read(package(&[("control.tar", &control), ("data.tar", &data)])).unwrap();
    assert!(pieces.is_empty());
    assert_eq!(control.kernels(), ["linux-image-6.1.0-18-cloud-amd64"]);
    assert_eq!(control.depends.len(), 2);
}

#[test]
fn what_is_no_package_is_refused() {
    for bytes in [
        &b""[..],
        b"!<arch>\n",
        b"no archive at all",
        b"!<arch>\nshort",
    ] {
        assert!(read(bytes.to_vec()).is_err());
    }
    let huge = package(&[("control.tar", b"")]);
    let huge = String::from_utf8(huge)
        .unwrap()
        .replace("0         `", "9999999999`");
    let error = read(huge.into_bytes()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

/// Files in memory.
#[derive(Debug)]
struct Held(Vec<(&'static str, Vec<u8>)>);

impl ModuleFiles for Held {
    fn read(&self, path: &str, _: u64) -> Result<Option<Vec<u8>>, Error> {
        let found = self.0.iter().find(|(name, _)| *name == path);
        Ok(found.map(|(_, bytes)| bytes.clone()))
    }

    fn list(&self) -> Result<Vec<String>, Error> {
        let names = self.0.iter().map(|(name, _)| (*name).to_owned());
        Ok(names.filter(|name| name.contains(".ko")).collect())
    }
}

#[test]
fn modules_that_depmod_never_saw_are_loaded_by_what_they_say() {
    let files = Held(vec![
        (
            "fs/ext4.ko",
            module(b"depends=jbd2,crc16\0softdep=pre: crc32c\0"),
        ),
        ("fs/jbd2.ko", module(b"name=jbd2\0depends=\0")),
        ("lib/crc16.ko", module(b"license=GPL\0")),
        (
            "crypto/crc32c_generic.ko",
            module(b"alias=crc32c\0alias=pci:v*\0"),
        ),
        (
            "modules.builtin",
            b"kernel/drivers/virtio/virtio.ko\n".to_vec(),
        ),
    ]);
    let kernel = Kernel {
        path: "/none".into(),
        image: Image {
            format: Format::BzImage,
            architecture: Architecture::X86_64,
            release: None,
        },
        modules: Some(Arc::new(files)),
        _held: None,
    };
    let loaded = kernel.load(&["ext4", "virtio"], &["nvme"]).unwrap();
    let names: Vec<&str> = loaded.iter().map(|module| module.name.as_str()).collect();
    assert_eq!(
        names,
        ["jbd2.ko", "crc16.ko", "crc32c_generic.ko", "ext4.ko"]
    );
    assert!(kernel.load(&["xfs"], &[]).is_err());
}

#[test]
fn a_damaged_module_is_an_error_and_no_panic() {
    let whole = module(b"depends=jbd2\0");
    for len in 0..whole.len() {
        let mut modules = Modules::default();
        let _ = modules.add("a.ko", whole[..len].to_vec());
        let mut changed = whole.clone();
        changed[len] ^= 0xff;
        let _ = modules.add("b.ko", changed);
    }
    assert!(
        Modules::default()
            .add("a.ko", whole[..40].to_vec())
            .is_err()
    );
}

#[test]
fn a_kernel_without_a_name_is_read_by_its_path() {
    let mut bytes = vec![0; 4096];
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    let kernel = Kernel::of_bytes(&bytes, &std::env::temp_dir()).unwrap();
    assert_eq!(std::fs::read(&kernel.path).unwrap(), bytes);
    assert_eq!(kernel.image.format, Format::BzImage);
    let path = kernel.path.clone();
    drop(kernel);
    assert_ne!(std::fs::read(path).ok(), Some(bytes));
}

#[test]
fn releases_are_names_of_folders() {
    for release in ["6.1.0-18-cloud-amd64", "6.12.43+deb13", "5.10.0~rc1"] {
        assert!(is_release(release), "{release}");
    }
    for other in ["", ".", "..", "a/b", "-x", "a b", "a\n"] {
        assert!(!is_release(other), "{other:?}");
    }
}

fn bzimage(release: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    bytes[0x20e..0x210].copy_from_slice(&0x300_u16.to_le_bytes());
    bytes[0x500..0x500 + release.len()].copy_from_slice(release);
    bytes
}

#[test]
fn a_bzimage_says_its_release() {
    let image = Image::read(&bzimage(b"6.1.0-18-cloud-amd64 (debian) #1\0")).unwrap();
    assert_eq!(image.format, Format::BzImage);
    assert_eq!(image.release.as_deref(), Some("6.1.0-18-cloud-amd64"));
    let mut outside = bzimage(b"");
    outside[0x20e] = 0xff;
    outside[0x20f] = 0xff;
    assert_eq!(Image::read(&outside).unwrap().release, None);
}

#[test]
fn programs_and_noise_are_no_kernels() {
    let own = std::fs::read("/proc/self/exe").unwrap();
    assert!(Image::read(&own[..200]).is_err());
    for bytes in [&b""[..], b"MZ", &[0x7f; 70], b"\x7fELF\x02\x01"] {
        assert!(matches!(Image::read(bytes), Err(Error::NotAKernel)));
    }
}

#[test]
fn user_mode_linux_is_told_from_other_kernels() {
    let Ok(bytes) = std::fs::read("/usr/bin/linux.uml") else {
        eprintln!("skipped: no linux.uml here");
        return;
    };
    let image = Image::read(&bytes).unwrap();
    assert_eq!(image.format, Format::Uml);
    assert!(
        image
            .release
            .unwrap()
            .starts_with(|first: char| first.is_ascii_digit())
    );
}
