//! Random edits of a small image, whole or with flipped bytes.
//!
//! Oracle: no edit and no commit panics or hangs, whatever the image is. Where no byte was flipped, an
//! operation that is refused leaves the transaction usable, the commit succeeds, forger's own reader
//! believes every checksum in the image and reads all of it, and a name is there exactly when the
//! transaction said so; forger's own check finds nothing. With `FORGER_FUZZ_KEEP` set to a folder the image is
//! written there, for e2fsck to judge (`cargo xtask fuzz` does).
#![no_main]

use std::sync::{Arc, Mutex, OnceLock};

use forger_block::{BlockRead, Error, Result};
use forger_fs::ext4::{self, Editor, Free, Image, Journal, Layer, Options, Size, Store};
use forger_fs::observe::Silent;
use forger_fs::tree::{Content, Meta, Time, Tree, TreeSource};
use libfuzzer_sys::fuzz_target;

#[derive(Debug)]
struct Memory(Mutex<Vec<u8>>);

impl BlockRead for Memory {
    fn len(&self) -> u64 {
        self.0.lock().expect("no panic before").len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.lock().expect("no panic before").read_at(offset, buf)
    }
}

impl Store for Memory {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut bytes = self.0.lock().expect("no panic before");
        let (size, len) = (bytes.len() as u64, data.len() as u64);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let place = bytes
            .get_mut(start..)
            .and_then(|rest| rest.get_mut(..data.len()));
        let place = place.ok_or(Error::OutOfRange { offset, len, size })?;
        place.copy_from_slice(data);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

/// An empty filesystem with a journal.
fn empty() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let tree = Tree::<Content>::new(Meta {
            mode: 0o755,
            ..Meta::default()
        });
        let mut source = TreeSource::new(&tree);
        let mut layers = [Layer {
            source: &mut source,
            overlay: false,
        }];
        let options = Options {
            journal: Journal::Bytes(4 << 20),
            size: Size::Auto(Free::Bytes(2 << 20)),
            ..Options::default()
        };
        let (image, _) = ext4::plan(&mut layers, &options, &mut Silent).expect("an empty image");
        let mut bytes = vec![0; usize::try_from(image.len()).expect("a small image")];
        image.read_at(0, &mut bytes).expect("planned bytes");
        bytes
    })
}

fn path(byte: u8) -> Vec<u8> {
    let step = |bits: u8| {
        let mut name = vec![b'a' + bits];
        name.resize(if bits == 3 { 200 } else { 1 }, b'x');
        name
    };
    let mut path = vec![b'/'];
    path.extend(step(byte & 3));
    if byte & 0x40 != 0 {
        path.push(b'/');
        path.extend(step(byte >> 2 & 3));
        // Many names in one folder.
        path.extend((byte >> 4 & 3).to_string().bytes());
    }
    path
}

/// An ACL, well-formed or not.
fn acl(byte: u8) -> Vec<u8> {
    let mut acl = vec![2, 0, 0, 0];
    for (tag, bit) in [(1, 0x80), (2, 0x40), (4, 0x80), (0x10, 0x40), (0x20, 0x80)] {
        if byte & bit != 0 {
            let id = if tag == 2 { [7, 0, 0, 0] } else { [0xff; 4] };
            acl.extend([tag, 0, byte & 7, 0]);
            acl.extend(id);
        }
    }
    acl
}

/// Writes an image to the folder of `FORGER_FUZZ_KEEP`, zeros as holes.
fn keep(store: &Memory, script: &[u8]) {
    use std::os::unix::fs::FileExt;
    static FOLDER: OnceLock<Option<std::ffi::OsString>> = OnceLock::new();
    let Some(folder) = FOLDER.get_or_init(|| std::env::var_os("FORGER_FUZZ_KEEP")) else {
        return;
    };
    let bytes = store.0.lock().expect("no panic before");
    let name = blake3::hash(script).to_hex();
    let file = std::fs::File::create(std::path::Path::new(folder).join(name.as_str()));
    let file = file.expect("a folder to write to");
    file.set_len(bytes.len() as u64).expect("room");
    for (block, at) in bytes.chunks(4096).zip((0..).step_by(4096)) {
        if !forger_block::is_zero(block) {
            file.write_all_at(block, at).expect("room");
        }
    }
}

fuzz_target!(|script: &[u8]| {
    let (head, script) = script.split_at(script.len().min(9));
    let mut bytes = empty().to_vec();
    let flips: Vec<usize> = head
        .get(1..)
        .unwrap_or_default()
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]) as usize)
        .collect();
    let damaged = head.first().is_some_and(|byte| byte & 1 != 0);
    if damaged {
        for flip in flips {
            let at = flip / 8 % bytes.len();
            bytes[at] ^= 1 << (flip % 8);
        }
    }
    let store = Arc::new(Memory(Mutex::new(bytes)));
    let shared: Arc<dyn Store> = Arc::<Memory>::clone(&store);
    let mut editor = match Editor::over(shared, Time::from_sec(1_700_000_000)) {
        Ok(editor) => editor,
        Err(error) if damaged => return drop(error),
        Err(error) => panic!("an image of our own: {error}"),
    };
    let meta = Meta::default();
    for step in script.chunks_exact(3) {
        let (one, two) = (path(step[1]), path(step[2]));
        let _ = match step[0] % 16 {
            0 | 1 => editor.put(
                &one,
                &meta,
                Arc::new(vec![step[2]; usize::from(step[2]) * 50]),
            ),
            2 | 3 => editor.mkdir(&one, &meta, step[2] & 1 == 0),
            4 => editor.remove(&one, step[2] & 1 == 0),
            5 => editor.link(&one, &two),
            6 => editor.rename(&one, &two),
            7 => editor.symlink(&two, &one, &meta),
            9 => editor.remove_xattr(&one, b"user.x"),
            10 => editor.chown(&one, Some(step[2].into()), None),
            11 => editor.set_label(&two[..two.len().min(9)]),
            12 => editor.set_uuid([step[2]; 16]),
            13 => editor.touch(&one, None, Some(Time::from_sec(step[2].into()))),
            14 => editor.set_xattr(&one, b"system.posix_acl_access", &acl(step[2])),
            8 => editor.set_xattr(&one, b"user.x", &vec![7; usize::from(step[2]) * 8]),
            _ => editor.chmod(&one, u16::from(step[2])),
        };
    }
    let paths: Vec<Vec<u8>> = (0..=255).map(path).collect();
    let there: Vec<bool> = paths
        .iter()
        .map(|path| editor.kind(path).is_ok_and(|kind| kind.is_some()))
        .collect();
    let result = editor.commit();
    if damaged {
        return;
    }
    result.expect("a change that fits");
    keep(&store, script);
    let image = Image::open(store).expect("a clean image");
    let report = ext4::check(&image).expect("an image that can be read");
    assert!(report.is_clean(), "{:?}", report.findings);
    image.tree().expect("every structure is whole");
    for (path, there) in paths.iter().zip(there) {
        assert_eq!(image.lookup(path, false).is_ok(), there);
    }
});
