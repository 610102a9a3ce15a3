//! The initial RAM disk: the guest's first program and the modules that it loads.

use forger_fs::cpio::{WriteError, Writer};
use forger_fs::source::{Entry, EntryKind};
use forger_fs::tree::{Device, Meta};

/// A module of the guest's kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its file's name.
    pub name: String,
    /// Its bytes, not compressed.
    pub bytes: Vec<u8>,
}

/// Makes an initial RAM disk of the guest's program and modules, which are loaded in this order.
///
/// # Errors
/// A name that no file can have.
pub fn initramfs(init: &[u8], modules: &[Module]) -> Result<Vec<u8>, WriteError> {
    let mut writer = Writer::new(Vec::new());
    let mut add = |path: &str, kind: EntryKind, mode: u16, content: &[u8]| {
        let entry = Entry {
            path: path.as_bytes().to_vec(),
            kind,
            meta: Meta {
                mode,
                ..Meta::default()
            },
            offset: None,
        };
        writer.append(&entry, content)
    };
    let file = |content: &[u8]| EntryKind::File {
        size: content.len() as u64,
    };
    let device = |major, minor| EntryKind::CharDevice(Device { major, minor });
    for folder in ["dev", "proc", "sys", "modules"] {
        add(folder, EntryKind::Directory, 0o755, &[])?;
    }
    // The first process has its three open files before it can mount anything.
    add("dev/console", device(5, 1), 0o600, &[])?;
    add("dev/null", device(1, 3), 0o666, &[])?;
    add("init", file(init), 0o755, init)?;
    for (number, module) in modules.iter().enumerate() {
        // The guest goes by the names' order.
        let path = format!("modules/{number:03}-{}", module.name);
        add(&path, file(&module.bytes), 0o644, &module.bytes)?;
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_program_makes_less_than_2_mib_and_the_same_bytes_each_time() {
        let made = initramfs(crate::GUEST_INIT, &[]).unwrap();
        assert!(made.len() < 2 << 20, "{}", made.len());
        assert_eq!(made, initramfs(crate::GUEST_INIT, &[]).unwrap());
    }
}
