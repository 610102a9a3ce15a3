//! systemd-boot and entries of the Boot Loader Specification.

use forger_fs::ext4::Image;

use super::{Error, Files, Kernel, Options, Release, file};

/// Puts systemd-boot, its configuration, kernels and their entries into place.
pub(super) fn install(
    image: &Image,
    options: &Options,
    release: &Release,
    kernels: &[Kernel],
    files: &mut Files,
) -> Result<(), Error> {
    if !install_loader(image, options, files)? {
        return Err(Error::NoLoader {
            what: "systemd-boot",
            path: loader_path(options),
        });
    }
    for (index, kernel) in kernels.iter().enumerate() {
        let folder = format!("{}/{}", release.id, kernel.version);
        let linux = format!("{folder}/linux");
        files.put(&linux, kernel.image.clone())?;
        let mut entry = format!(
            "title      {}\nversion    {}\nsort-key   {}\n",
            release.title, kernel.version, release.id
        );
        if let Some(version) = &release.version {
            entry.push_str(&format!("# VERSION_ID {version}\n"));
        }
        entry.push_str(&format!("linux      /{linux}\n"));
        let initrds: Vec<_> = options.initrds_of(kernel).collect();
        for (place, initrd) in initrds.iter().enumerate() {
            // The last one is the kernel's own.
            let path = match place + 1 == initrds.len() {
                true => format!("{folder}/initrd"),
                false => format!("{folder}/initrd-{}", place + 1),
            };
            files.put(&path, (*initrd).clone())?;
            entry.push_str(&format!("initrd     /{path}\n"));
        }
        entry.push_str(&format!("options    {}\n", options.cmdline));
        let name = format!("{}-{}", release.id, kernel.version);
        files.text(&format!("loader/entries/{name}.conf"), entry)?;
        if index == 0 {
            files.text("loader/loader.conf", configuration(&format!("{name}.conf")))?;
        }
    }
    Ok(())
}

/// Puts systemd-boot where the firmware looks; false where there is none.
pub(super) fn install_loader(
    image: &Image,
    options: &Options,
    files: &mut Files,
) -> Result<bool, Error> {
    let found = match &options.systemd_boot {
        Some(content) => Some(content.clone()),
        None => file(image, &loader_path(options))?,
    };
    let Some(content) = found else {
        return Ok(false);
    };
    let efi = options.architecture.efi();
    files.put(
        &format!("EFI/systemd/systemd-boot{efi}.efi"),
        content.clone(),
    )?;
    files.put(&options.architecture.fallback(), content)?;
    Ok(true)
}

/// Returns what loader.conf says.
pub(super) fn configuration(default: &str) -> String {
    format!("default {default}\ntimeout 0\n")
}

fn loader_path(options: &Options) -> String {
    let efi = options.architecture.efi();
    format!("usr/lib/systemd/boot/efi/systemd-boot{efi}.efi")
}
