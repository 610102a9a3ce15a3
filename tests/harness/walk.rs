//! The comparator: a file tree as sorted text, and the difference of two.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A file tree: escaped path to one line that says everything about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    lines: BTreeMap<Vec<u8>, String>,
}

impl Listing {
    /// Walks the tree below `root`, without `lost+found`.
    ///
    /// A line holds type, mode, owner, mtime in nanoseconds, number of names, and, as the type has
    /// them, size and digest, target, device number, the first of the names that share the file,
    /// and all extended attributes (ACLs are among them). Of the paths in `implied` it holds only
    /// the type, for nobody said what else they are.
    ///
    /// # Panics
    /// When something cannot be read.
    #[must_use]
    pub fn of(root: &Path, implied: &[&str]) -> Self {
        let implied: BTreeSet<&[u8]> = implied.iter().map(|path| path.as_bytes()).collect();
        let mut found = BTreeMap::new();
        collect(root, &mut Vec::new(), &mut found);
        let mut first_names = HashMap::new();
        let mut lines = BTreeMap::new();
        for (path, full) in found {
            let meta = full.symlink_metadata().expect("a found path has metadata");
            let first = first_names
                .entry((meta.dev(), meta.ino()))
                .or_insert_with(|| path.clone());
            let line = if implied.contains(&path[..]) {
                kind(&meta).to_owned()
            } else {
                describe(&full, &meta, (*first != path).then_some(&first[..]))
            };
            lines.insert(path, line);
        }
        Self { lines }
    }

    /// Returns the number of paths, the root included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Tells whether there is nothing, not even a root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns the line of one path, empty for the root.
    #[must_use]
    pub fn line(&self, path: impl AsRef<[u8]>) -> Option<&str> {
        self.lines.get(path.as_ref()).map(String::as_str)
    }

    /// Asserts that both trees are the same.
    ///
    /// # Panics
    /// When they differ: with the first differences.
    pub fn assert_same(&self, expected: &Self) {
        let paths: BTreeSet<_> = self.lines.keys().chain(expected.lines.keys()).collect();
        let differences: Vec<String> = paths
            .into_iter()
            .filter_map(|path| {
                let (is, wanted) = (self.lines.get(path), expected.lines.get(path));
                let text =
                    |line: Option<&String>| line.map_or("(not there)", String::as_str).to_owned();
                (is != wanted).then(|| {
                    format!(
                        "{}\n    is {}\nwanted {}",
                        path.escape_ascii(),
                        text(is),
                        text(wanted)
                    )
                })
            })
            .collect();
        let shown = differences
            .iter()
            .take(20)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n");
        assert!(
            differences.is_empty(),
            "{} paths differ\n{shown}",
            differences.len()
        );
    }
}

fn collect(dir: &Path, prefix: &mut Vec<u8>, found: &mut BTreeMap<Vec<u8>, PathBuf>) {
    found.insert(prefix.clone(), dir.to_path_buf());
    for entry in fs::read_dir(dir).expect("a folder can be read") {
        let entry = entry.expect("a folder can be read");
        let name = entry.file_name();
        if prefix.is_empty() && name == "lost+found" {
            continue;
        }
        let length = prefix.len();
        if length > 0 {
            prefix.push(b'/');
        }
        prefix.extend_from_slice(name.as_bytes());
        if entry.file_type().expect("an entry has a type").is_dir() {
            collect(&entry.path(), prefix, found);
        } else {
            found.insert(prefix.clone(), entry.path());
        }
        prefix.truncate(length);
    }
}

fn kind(meta: &Metadata) -> &'static str {
    let of = meta.file_type();
    match () {
        () if of.is_file() => "file",
        () if of.is_dir() => "folder",
        () if of.is_symlink() => "symlink",
        () if of.is_char_device() => "char",
        () if of.is_block_device() => "block",
        () if of.is_fifo() => "fifo",
        () => "socket",
    }
}

fn describe(path: &Path, meta: &Metadata, same_as: Option<&[u8]>) -> String {
    let mut line = format!(
        "{} {:04o} {}:{} {}.{:09} names={}",
        kind(meta),
        meta.mode() & 0o7777,
        meta.uid(),
        meta.gid(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.nlink(),
    );
    if let Some(first) = same_as {
        line.push_str(&format!(" same-as={}", first.escape_ascii()));
    }
    let of = meta.file_type();
    if of.is_file() {
        line.push_str(&format!(" size={} blake3={}", meta.len(), digest(path)));
    } else if of.is_symlink() {
        let target = fs::read_link(path).expect("a link can be read");
        line.push_str(&format!(
            " -> {}",
            target.as_os_str().as_bytes().escape_ascii()
        ));
    } else if of.is_char_device() || of.is_block_device() {
        let (major, minor) = (
            rustix::fs::major(meta.rdev()),
            rustix::fs::minor(meta.rdev()),
        );
        line.push_str(&format!(" device={major}:{minor}"));
    }
    for (name, value) in xattrs(path) {
        line.push_str(&format!(
            " {}={}",
            name.escape_ascii(),
            value.escape_ascii()
        ));
    }
    line
}

fn digest(path: &Path) -> String {
    let mut file = File::open(path).expect("a file can be opened");
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer).expect("a file can be read") {
            0 => return hasher.finalize().to_hex()[..32].to_owned(),
            count => hasher.update(&buffer[..count]),
        };
    }
}

/// Returns all extended attributes of a path, which is not followed.
fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let count = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(count) => count,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(error) => panic!("{}: {error}", path.display()),
    };
    names[..count]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let count = rustix::fs::lgetxattr(path, name, &mut value[..])
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            value.truncate(count);
            (name.to_vec(), value)
        })
        .collect()
}
