//! Kernels, Debian packages, kernel bundles, modules and their lists: whatever the bytes are, reading them ends, and
//! neither panics nor allocates without bound.
//!
//! Oracle: what is found is what its contract says. A release is the name of a folder; a module's path leads nowhere but
//! below its folder, and what is loaded has each module behind all that it needs, once.
#![no_main]

use std::collections::BTreeSet;
use std::io::Cursor;

use forger_vm::kernel::{
    Contents, Error, Image, ModuleFiles, Modules, Package, Piece, Place, is_release,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&kind, rest)) = data.split_first() else {
        return;
    };
    match kind % 5 {
        0 => {
            if let Ok(image) = Image::read(rest) {
                assert!(image.release.is_none_or(|release| is_release(&release)));
            }
        }
        1 => {
            if let Ok(mut package) = Package::open(Cursor::new(rest.to_vec())) {
                while let Ok(Some(piece)) = package.next_piece() {
                    check(&piece);
                }
            }
        }
        2 => {
            if let Ok(mut contents) = Contents::of_tar(Cursor::new(rest.to_vec())) {
                while let Ok(Some(piece)) = contents.next_piece() {
                    check(&piece);
                }
            }
        }
        3 => {
            // What is no module is refused.
            let _ = Modules::default().add("fuzzed.ko", rest.to_vec());
        }
        _ => lists(rest),
    }
});

fn check(piece: &Piece) {
    match &piece.place {
        Place::Module(path) => {
            assert!(!path.starts_with('/') && !path.contains('\n'));
            assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")));
        }
        Place::Kernel(Some(release)) => assert!(is_release(release)),
        _ => {}
    }
}

/// The four lists, one after the other, with lines of `---` between them.
#[derive(Debug)]
struct Lists(Vec<String>);

impl ModuleFiles for Lists {
    fn read(&self, path: &str, _: u64) -> Result<Option<Vec<u8>>, Error> {
        let names = ["modules.dep", "modules.softdep", "modules.alias", "modules.builtin"];
        let index = names.iter().position(|name| *name == path);
        let text = index.and_then(|index| self.0.get(index));
        Ok(text.map(|text| text.clone().into_bytes()))
    }

    fn list(&self) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }
}

fn lists(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let parts = text.split("---\n").map(str::to_owned);
    let Ok(modules) = Modules::read(&Lists(parts.collect())) else {
        return;
    };
    let [(_, dep), ..] = modules.to_lists();
    let names = dep.lines().filter_map(|line| line.split_once(':'));
    let names: Vec<String> = names
        .filter_map(|(path, _)| path.rsplit('/').next()?.split(".ko").next())
        .map(str::to_owned)
        .collect();
    for name in names.iter().take(20) {
        if let Ok(closure) = modules.closure(&[name], &[]) {
            let once: BTreeSet<&String> = closure.load.iter().collect();
            assert_eq!(once.len(), closure.load.len());
        }
    }
    // Lists that are written again say the same.
    let again = modules.to_lists();
    let again = Lists(again.into_iter().map(|(_, text)| text).collect());
    let again = Modules::read(&again).expect("what was written can be read");
    assert_eq!(again.count(), modules.count());
}
