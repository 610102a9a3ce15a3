//! The machine stops after every single write of a commit: e2fsck leaves what was before or what is
//! after.

use std::sync::{Mutex, PoisonError};

use forger_block::{BlockRead, Error, Result};

use super::*;

/// An image in memory that remembers what was written to it, in order.
#[derive(Debug)]
struct Recorded {
    image: Mutex<Vec<u8>>,
    writes: Mutex<Vec<(usize, Vec<u8>)>>,
}

impl BlockRead for Recorded {
    fn len(&self) -> u64 {
        let image = self.image.lock().unwrap_or_else(PoisonError::into_inner);
        image.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let image = self.image.lock().unwrap_or_else(PoisonError::into_inner);
        image.read_at(offset, buf)
    }
}

impl Store for Recorded {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let at = usize::try_from(offset).unwrap();
        let mut image = self.image.lock().unwrap_or_else(PoisonError::into_inner);
        let size = image.len() as u64;
        let Some(place) = image.get_mut(at..at + data.len()) else {
            let len = data.len() as u64;
            return Err(Error::OutOfRange { offset, len, size });
        };
        place.copy_from_slice(data);
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        writes.push((at, data.to_vec()));
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

fn change(editor: &mut Editor) -> super::super::error::Result<()> {
    editor.remove(b"/a/b/small", false)?;
    editor.rename(b"/a/b", b"/moved")?;
    editor.put(b"/a/file", &meta(0o600), bytes(9000, 77))?;
    editor.chmod(b"/hard", 0o444)?;
    // A block that begins with the journal's magic.
    editor.symlink(
        &[b"\xc0\x3b\x39\x98", &[b'y'; 90][..]].concat(),
        b"/magic",
        &meta(0),
    )?;
    editor.set_label(b"after")?;
    editor.set_uuid([3; 16])
}

/// Lets e2fsck mend an image and lists what is in it then.
fn mended(path: &Path, bytes: &[u8]) -> String {
    std::fs::write(path, bytes).unwrap();
    let out = Command::new("e2fsck")
        .arg("-fy")
        .arg(path)
        .output()
        .unwrap();
    let code = out.status.code().unwrap_or(99);
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(code < 4, "{text}{}", String::from_utf8_lossy(&out.stderr));
    assert_clean(path, "after e2fsck -fy");
    dump(path)
}

/// With `backup` there is a copy of the superblock where e2fsck looks for one, so that even a torn
/// superblock is mended.
fn stop_everywhere(form: &[&str], size: &str, journal: Option<&str>, backup: bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = make(folder.path(), form, size);
    if let Some(request) = journal {
        let script = folder.path().join("script");
        std::fs::write(&script, format!("{request}\njc\n")).unwrap();
        let out = Command::new("debugfs")
            .arg("-w")
            .arg("-f")
            .args([&script, &path])
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
    }
    edit(&path, everything);
    assert_clean(&path, "to begin with");
    let image = std::fs::read(&path).unwrap();
    let store = Arc::new(Recorded {
        image: Mutex::new(image.clone()),
        writes: Mutex::default(),
    });
    let shared: Arc<dyn Store> = Arc::<Recorded>::clone(&store);
    let later = Time::from_sec(TIME.sec + 100);
    let mut editor = Editor::over(shared, later).unwrap();
    change(&mut editor).unwrap();
    assert_eq!(editor.commit().unwrap().way, Way::Journal);
    let after = dump_bytes(&store.image.lock().unwrap());
    let before = dump_bytes(&image);
    assert_ne!(before, after);

    let writes = store.writes.lock().unwrap();
    let mut now = image;
    let (mut seen_before, mut seen_after) = (0, 0);
    let mut judge = |bytes: &[u8], when: String| {
        let found = mended(&path, bytes);
        if found == before {
            assert_eq!(seen_after, 0, "{when}: before again");
            seen_before += 1;
        } else {
            assert_eq!(found, after, "{when}");
            seen_after += 1;
        }
    };
    for (i, (at, data)) in writes.iter().enumerate() {
        // Torn: the first sector only, or all but the first.
        let superblock = (1024..2048).contains(at) || *at + data.len() <= 4096;
        if data.len() > 512 && (backup || !superblock) {
            let mut torn = now.clone();
            torn[*at..at + 512].copy_from_slice(&data[..512]);
            let found = mended(&path, &torn);
            assert!(found == before || found == after, "write {i} torn: {found}");
            let mut torn = now.clone();
            torn[at + 512..at + data.len()].copy_from_slice(&data[512..]);
            let found = mended(&path, &torn);
            assert!(found == before || found == after, "write {i} torn: {found}");
        }
        now[*at..at + data.len()].copy_from_slice(data);
        judge(&now, format!("after write {i} of {}", writes.len()));
    }
    assert!(
        seen_before > 5 && seen_after > 5,
        "{seen_before} {seen_after}"
    );
    assert_eq!(dump_bytes(&now), after);
}

fn dump_bytes(bytes: &[u8]) -> String {
    dump_of(&Image::open(Arc::new(bytes.to_vec())).unwrap())
}

#[test]
fn a_commit_that_stops_anywhere_is_before_or_after() {
    if !tools() {
        return;
    }
    stop_everywhere(&["-t", "ext4", "-b", "1024"], "16M", None, true);
    stop_everywhere(
        &["-t", "ext4", "-b", "4096"],
        "16M",
        Some("jo -c -v 3"),
        false,
    );
    stop_everywhere(
        &["-t", "ext4", "-b", "1024", "-O", "^64bit"],
        "16M",
        Some("jo -c -v 2"),
        true,
    );
    stop_everywhere(&["-t", "ext3", "-b", "1024"], "16M", None, true);
}
