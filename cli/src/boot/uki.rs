//! Unified kernel images: a stub, and in sections of it the kernel, its initial RAM disk and command line.

use forger_fs::ext4::Image;
use forger_fs::tree::{Content, Time};

use super::pe::{self, Section};
use super::{Error, Files, Kernel, Options, PeError, Release, bytes, entry, file};

/// The largest stub that is read, in bytes.
const STUB_LIMIT: u64 = 16 << 20;

/// What a unified kernel image is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The kernel.
    pub linux: Content,
    /// The initial RAM disks, which the kernel sees as one.
    pub initrds: Vec<Content>,
    /// The kernel's command line.
    pub cmdline: String,
    /// os-release, of which loaders show the name.
    pub release: Vec<u8>,
    /// The kernel's version.
    pub version: String,
    /// The time in the header.
    pub time: Time,
}

/// Assembles a unified kernel image; kernel and RAM disks are read where they stand.
///
/// # Errors
/// A stub that cannot take further sections.
pub fn assemble(stub: &[u8], parts: &Parts) -> Result<Content, PeError> {
    let text = |bytes: &[u8]| Content::inline(bytes.to_vec());
    let mut sections = vec![
        Section::new(".osrel", text(&parts.release)),
        // Ends with a NUL, as the stub takes it for a string.
        Section::new(
            ".cmdline",
            text(&[parts.cmdline.as_bytes(), b"\0"].concat()),
        ),
        Section::new(".uname", text(&[parts.version.as_bytes(), b"\0"].concat())),
        Section::new(".linux", parts.linux.clone()),
    ];
    if !parts.initrds.is_empty() {
        sections.push(Section::new(".initrd", joined(&parts.initrds)));
    }
    sections.retain(|section| section.content.size() > 0);
    let seconds = u32::try_from(parts.time.sec).unwrap_or(0);
    pe::with_sections(stub, &sections, seconds)
}

/// Joins initial RAM disks; each starts at a multiple of 4, as the kernel looks for it.
#[must_use]
pub fn joined<'a>(initrds: impl IntoIterator<Item = &'a Content>) -> Content {
    let mut whole = Content::new();
    for initrd in initrds {
        whole.push_inline(vec![
            0;
            usize::try_from((4 - whole.size() % 4) % 4).unwrap_or(0)
        ]);
        pe::append(&mut whole, initrd);
    }
    whole
}

/// Puts a unified image of each kernel into place.
pub(super) fn install(
    image: &Image,
    options: &Options,
    release: &Release,
    kernels: &[Kernel],
    files: &mut Files,
) -> Result<(), Error> {
    let path = format!(
        "usr/lib/systemd/boot/efi/linux{}.efi.stub",
        options.architecture.efi()
    );
    let (found, which) = match &options.stub {
        Some(content) => (Some(content.clone()), "that was given"),
        None => (file(image, &path)?, &*path),
    };
    let Some(stub) = found else {
        return Err(Error::NoLoader {
            what: "stub for unified kernel images",
            path,
        });
    };
    let stub = bytes(&stub, STUB_LIMIT, "the stub")?;
    let loader = entry::install_loader(image, options, files)?;
    for (index, kernel) in kernels.iter().enumerate() {
        let parts = Parts {
            linux: kernel.image.clone(),
            initrds: options.initrds_of(kernel).cloned().collect(),
            cmdline: options.cmdline.clone(),
            release: release.text.clone(),
            version: kernel.version.clone(),
            time: options.time,
        };
        let content = assemble(&stub, &parts).map_err(|source| Error::Stub {
            which: which.to_owned(),
            source,
        })?;
        let name = format!("{}-{}.efi", release.id, kernel.version);
        if index == 0 {
            if loader {
                files.text("loader/loader.conf", entry::configuration(&name))?;
            } else {
                files.put(&options.architecture.fallback(), content.clone())?;
            }
        }
        files.put(&format!("EFI/Linux/{name}"), content)?;
    }
    Ok(())
}
