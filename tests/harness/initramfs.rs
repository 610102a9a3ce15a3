//! An initramfs for small machines: a shell script and what it runs, in the `newc` format of cpio.

/// Files by name, mode and content, as an initramfs.
///
/// # Panics
/// When a file has 4 GiB or more.
#[must_use]
pub fn initramfs(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    let end: &[(&str, u32, &[u8])] = &[("TRAILER!!!", 0, b"")];
    for (number, (name, mode, content)) in files.iter().chain(end).enumerate() {
        let fields = [
            number as u64 + 1,
            (*mode).into(),
            0,
            0,
            1,
            0,
            content.len() as u64,
            0,
            0,
            0,
            0,
            name.len() as u64 + 1,
            0,
        ];
        archive.extend(b"070701");
        for field in fields {
            let field = u32::try_from(field).expect("less than 4 GiB");
            archive.extend(format!("{field:08x}").bytes());
        }
        archive.extend(name.bytes());
        archive.push(0);
        pad(&mut archive);
        archive.extend(*content);
        pad(&mut archive);
    }
    archive
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}
