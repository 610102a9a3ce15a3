//! The machine stops after every single write of a commit: e2fsck leaves what was before or what is
//! after.

use std::sync::{Mutex, PoisonError};

use forger_block::{BlockRead, Error, Result};

use super::*;

/// A write of at most a block, or the end of all before.
#[derive(Clone, Debug)]
enum Event {
    Write(usize, Vec<u8>),
    Sync,
}

/// An image in memory that remembers what was written to it, in order.
#[derive(Debug)]
struct Recorded {
    image: Mutex<Vec<u8>>,
    block_len: usize,
    events: Mutex<Vec<Event>>,
}

impl Recorded {
    fn new(image: Vec<u8>, block_len: usize) -> Self {
        Self {
            image: Mutex::new(image),
            block_len,
            events: Mutex::default(),
        }
    }
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
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let starts = (at..).step_by(self.block_len);
        for (at, part) in starts.zip(data.chunks(self.block_len)) {
            events.push(Event::Write(at, part.to_vec()));
        }
        Ok(())
    }

    fn erase(&self, offset: u64, len: u64) -> Result<()> {
        let mut at = offset;
        while at < offset + len {
            let mut block = vec![0; self.block_len];
            self.read_at(at, &mut block)?;
            if block.iter().any(|byte| *byte != 0) {
                self.write_at(at, &vec![0; self.block_len])?;
            }
            at += block.len() as u64;
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(Event::Sync);
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

/// Stops a commit after every write, between the sectors of every write, and with every choice of the
/// writes that nothing orders, where they are few.
fn stop_everywhere(form: &[&str], block_len: usize, journal: Option<&str>) {
    stop_with_log(form, block_len, journal, None);
}

/// Makes the log of a clean journal end earlier.
fn shorten_log(image: &mut [u8], blocks: u32) {
    let source: Arc<dyn BlockRead> = Arc::new(image.to_vec());
    let superblock = Image::open(source).unwrap().superblock().clone();
    let store = Recorded::new(image.to_vec(), superblock.block_len());
    let editor = Editor::over(Arc::new(store), TIME).unwrap();
    let (block, bytes) = editor.log.unwrap().superblock_of(blocks);
    let at = usize::try_from(block.0).unwrap() * superblock.block_len();
    image[at..at + bytes.len()].copy_from_slice(&bytes);
}

/// As above; a log of so few blocks does not hold the change, so that it has to be enlarged.
fn stop_with_log(form: &[&str], block_len: usize, journal: Option<&str>, log: Option<u32>) {
    let folder = tempfile::tempdir().unwrap();
    let path = make(folder.path(), form, "8M");
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
    let mut image = std::fs::read(&path).unwrap();
    if let Some(blocks) = log {
        shorten_log(&mut image, blocks);
    }
    let (way, syncs) = match log {
        None => (Way::Journal, 4),
        Some(_) => (Way::LargerJournal, 14),
    };
    let store = Arc::new(Recorded::new(image.clone(), block_len));
    let shared: Arc<dyn Store> = Arc::<Recorded>::clone(&store);
    let later = Time::from_sec(TIME.sec + 100);
    let mut editor = Editor::over(shared, later).unwrap();
    change(&mut editor).unwrap();
    // Enough to fill a short log.
    for number in 0..log.map_or(0, |_| 16) {
        let path = format!("/folder-{number}");
        editor.mkdir(path.as_bytes(), &meta(0o755), false).unwrap();
    }
    assert_eq!(editor.commit().unwrap().way, way);
    let after = dump_bytes(&store.image.lock().unwrap());
    let before = dump_bytes(&image);
    assert_ne!(before, after);

    let events = store.events.lock().unwrap();
    let judge = |bytes: &[u8], when: &str| {
        let found = mended(&path, bytes);
        assert!(
            found == before || found == after,
            "{form:?} {when}: {found}"
        );
        found == after
    };
    let mut now = image;
    let (mut seen_before, mut seen_after, mut epochs) = (0, 0, 0);
    for epoch in events.split(|event| matches!(event, Event::Sync)) {
        epochs += 1;
        let start = now.clone();
        for (i, event) in epoch.iter().enumerate() {
            let Event::Write(at, data) = event else {
                continue;
            };
            let end = at + data.len();
            // What the first epoch writes is looked at only when it is whole.
            if data.len() > 512 && epochs > 1 {
                let mut torn = now.clone();
                torn[*at..at + 512].copy_from_slice(&data[..512]);
                judge(&torn, &format!("epoch {epochs}, write {i} torn at its end"));
                let mut torn = now.clone();
                torn[at + 512..end].copy_from_slice(&data[512..]);
                judge(
                    &torn,
                    &format!("epoch {epochs}, write {i} torn at its start"),
                );
            }
            now[*at..end].copy_from_slice(data);
            if judge(&now, &format!("epoch {epochs}, after write {i}")) {
                seen_after += 1;
            } else {
                assert_eq!(seen_after, 0, "{form:?}: before again");
                seen_before += 1;
            }
        }
        let choices = if epoch.len() <= 4 {
            1 << epoch.len()
        } else {
            0
        };
        for choice in 0..choices {
            let mut some = start.clone();
            for (i, event) in epoch.iter().enumerate() {
                if let (Event::Write(at, data), 1) = (event, choice >> i & 1) {
                    some[*at..at + data.len()].copy_from_slice(data);
                }
            }
            judge(&some, &format!("epoch {epochs}, choice {choice:b}"));
        }
    }
    assert!(
        seen_before > 5 && seen_after > 5 && epochs == syncs + 1,
        "{seen_before} {seen_after} {epochs}"
    );
    assert_eq!(dump_bytes(&now), after);
}

fn dump_bytes(bytes: &[u8]) -> String {
    dump_of(&Image::open(Arc::new(bytes.to_vec())).unwrap())
}

#[test]
fn a_commit_that_stops_anywhere_is_before_or_after() {
    if tools() {
        stop_everywhere(&["-t", "ext4", "-b", "1024"], 1024, None);
    }
}

/// There is no other superblock to fall back to.
#[test]
fn a_commit_to_a_single_group_that_stops_anywhere_is_before_or_after() {
    if tools() {
        stop_everywhere(&["-t", "ext4", "-b", "4096"], 4096, Some("jo -c -v 3"));
    }
}

#[test]
fn a_commit_to_a_journal_of_version_2_that_stops_anywhere_is_before_or_after() {
    if tools() {
        let form = ["-t", "ext4", "-b", "1024", "-O", "^64bit"];
        stop_everywhere(&form, 1024, Some("jo -c -v 2"));
    }
}

#[test]
fn a_commit_to_ext3_that_stops_anywhere_is_before_or_after() {
    if tools() {
        stop_everywhere(&["-t", "ext3", "-b", "1024"], 1024, None);
    }
}

#[test]
fn a_commit_that_enlarges_its_journal_and_stops_anywhere_is_before_or_after() {
    if tools() {
        let form = ["-t", "ext4", "-b", "1024"];
        stop_with_log(&form, 1024, None, Some(24));
    }
}

#[test]
#[ignore = "half a minute: e2fsck runs hundreds of times"]
fn a_commit_to_ext3_that_enlarges_its_journal_and_stops_anywhere_is_before_or_after() {
    if tools() {
        stop_with_log(&["-t", "ext3", "-b", "1024"], 1024, None, Some(24));
    }
}
