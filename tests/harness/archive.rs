//! Tar archives made byte by byte, so that a test knows and controls each of them.
//!
//! The headers are those of POSIX.1-2017 `pax` ("pax Interchange Format", "ustar Interchange
//! Format"), of the GNU tar manual ("Basic Tar Format") and of Unix V7.

/// Bytes of a tar block.
pub const BLOCK: usize = 512;

/// How a member's header is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// A ustar header, with an extended header before it for what ustar cannot say.
    #[default]
    Pax,
    /// GNU: `L` and `K` members for long names, base-256 numbers, whole seconds.
    Gnu,
    /// Unix V7: no magic; names below 100 bytes.
    V7,
}

/// One member of an archive.
#[derive(Clone, Debug)]
pub struct Member {
    dialect: Dialect,
    kind: u8,
    name: Vec<u8>,
    link: Vec<u8>,
    mode: u64,
    uid: u64,
    gid: u64,
    mtime: (i64, u32),
    device: (u64, u64),
    body: Vec<u8>,
    /// The size the header states, where it is not the body's length.
    stated: Option<u64>,
    records: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: Option<(Vec<(u64, u64)>, u64)>,
}

impl Member {
    /// Makes a member of the type with typeflag `kind`: mode 0644 (folders 0755), root, time 0.
    #[must_use]
    pub fn new(kind: u8, name: impl AsRef<[u8]>) -> Self {
        Self {
            dialect: Dialect::Pax,
            kind,
            name: name.as_ref().to_vec(),
            link: Vec::new(),
            mode: if kind == b'5' { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            device: (0, 0),
            body: Vec::new(),
            stated: None,
            records: Vec::new(),
            sparse: None,
        }
    }

    /// Makes a regular file.
    #[must_use]
    pub fn file(name: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Self {
        let mut member = Self::new(b'0', name);
        member.body = body.as_ref().to_vec();
        member
    }

    /// Makes a directory.
    #[must_use]
    pub fn dir(name: impl AsRef<[u8]>) -> Self {
        Self::new(b'5', name)
    }

    /// Makes a symbolic link to `target`.
    #[must_use]
    pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(b'2', name).mode(0o777).link(target)
    }

    /// Makes a hard link to the member `target`.
    #[must_use]
    pub fn hardlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(b'1', name).link(target)
    }

    /// Makes a character device.
    #[must_use]
    pub fn chardev(name: impl AsRef<[u8]>, major: u64, minor: u64) -> Self {
        Self::new(b'3', name).device(major, minor)
    }

    /// Makes a block device.
    #[must_use]
    pub fn blockdev(name: impl AsRef<[u8]>, major: u64, minor: u64) -> Self {
        Self::new(b'4', name).device(major, minor)
    }

    /// Makes a named pipe.
    #[must_use]
    pub fn fifo(name: impl AsRef<[u8]>) -> Self {
        Self::new(b'6', name)
    }

    /// Makes a sparse file of `size` bytes in GNU's old form (typeflag `S`): `map` lists offset and
    /// length of the pieces, `body` holds them one after the other.
    #[must_use]
    pub fn gnu_sparse(name: &[u8], map: &[(u64, u64)], body: Vec<u8>, size: u64) -> Self {
        let mut member = Self::new(b'S', name).dialect(Dialect::Gnu);
        member.body = body;
        member.sparse = Some((map.to_vec(), size));
        member
    }

    /// Makes a sparse file of `size` bytes in the PAX form 1.0, whose map stands before the body.
    #[must_use]
    pub fn pax_sparse(name: &[u8], map: &[(u64, u64)], body: &[u8], size: u64) -> Self {
        let mut text = format!("{}\n", map.len());
        for (offset, length) in map {
            text.push_str(&format!("{offset}\n{length}\n"));
        }
        let mut content = text.into_bytes();
        content.resize(content.len().next_multiple_of(BLOCK), 0);
        content.extend_from_slice(body);
        let mut member = Self::file(b"GNUSparseFile.0/sparse", content)
            .record("GNU.sparse.major", "1")
            .record("GNU.sparse.minor", "0")
            .record("GNU.sparse.name", name);
        member = member.record("GNU.sparse.realsize", size.to_string());
        member
    }

    /// Sets how the header is written.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Sets the permission bits with setuid, setgid and sticky.
    #[must_use]
    pub fn mode(mut self, mode: u64) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the owner's ids.
    #[must_use]
    pub fn owner(mut self, uid: u64, gid: u64) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// Sets the time of modification: seconds since 1970, and nanoseconds to add.
    #[must_use]
    pub fn mtime(mut self, sec: i64, nsec: u32) -> Self {
        self.mtime = (sec, nsec);
        self
    }

    /// Sets the link name.
    #[must_use]
    pub fn link(mut self, target: impl AsRef<[u8]>) -> Self {
        self.link = target.as_ref().to_vec();
        self
    }

    /// Sets the device number.
    #[must_use]
    pub fn device(mut self, major: u64, minor: u64) -> Self {
        self.device = (major, minor);
        self
    }

    /// Sets the body, whatever the type.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Makes the header state this size, whatever the body's length.
    #[must_use]
    pub fn stated_size(mut self, size: u64) -> Self {
        self.stated = Some(size);
        self
    }

    /// Adds a record to the extended header.
    #[must_use]
    pub fn record(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.records
            .push((key.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Adds an extended attribute as `SCHILY.xattr.` record.
    #[must_use]
    pub fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.record(format!("SCHILY.xattr.{name}"), value)
    }

    /// Adds an ACL in its text form; `which` is `access` or `default`.
    #[must_use]
    pub fn acl(self, which: &str, text: &str) -> Self {
        self.record(format!("SCHILY.acl.{which}"), text)
    }
}

/// An archive under construction.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
}

impl Archive {
    /// Makes an archive without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `member` and returns the offset of its own header.
    pub fn push(&mut self, member: &Member) -> usize {
        let mut member = member.clone();
        match member.dialect {
            Dialect::Pax => self.push_extended(&mut member),
            Dialect::Gnu => self.push_long_names(&mut member),
            Dialect::V7 => {}
        }
        let at = self.bytes.len();
        let (name, prefix) = split_name(&member.name);
        let mut block = header(&member, name, prefix);
        let tables = member
            .sparse
            .as_ref()
            .map(|(map, size)| gnu_sparse_tables(&mut block, map, *size))
            .unwrap_or_default();
        seal(&mut block);
        self.bytes.extend_from_slice(&block);
        self.bytes.extend_from_slice(&tables);
        self.append_padded(&member.body);
        at
    }

    /// Appends `members` in order.
    pub fn extend<'a>(&mut self, members: impl IntoIterator<Item = &'a Member>) {
        for member in members {
            self.push(member);
        }
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a global extended header.
    pub fn global(&mut self, records: &[(&str, &str)]) {
        let mut body = Vec::new();
        for (key, value) in records {
            body.extend(pax_record(key.as_bytes(), value.as_bytes()));
        }
        self.simple(b'g', b"pax_global_header", &body);
    }

    /// Returns the bytes so far, without an end-of-archive marker.
    #[must_use]
    pub fn open(self) -> Vec<u8> {
        self.bytes
    }

    /// Returns the archive with its end: two zero blocks, filled up to a record of 10 KiB.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let end = (self.bytes.len() + 2 * BLOCK).next_multiple_of(20 * BLOCK);
        self.bytes.resize(end, 0);
        self.bytes
    }

    fn append_padded(&mut self, body: &[u8]) {
        self.bytes.extend_from_slice(body);
        let end = self.bytes.len().next_multiple_of(BLOCK);
        self.bytes.resize(end, 0);
    }

    /// Appends a header of kind `kind` that carries `body` for the member after it.
    fn simple(&mut self, kind: u8, name: &[u8], body: &[u8]) {
        let mut member = Member::new(kind, name).body(body);
        if matches!(kind, b'L' | b'K') {
            member.dialect = Dialect::Gnu;
        }
        let mut block = header(&member, name, &[]);
        seal(&mut block);
        self.bytes.extend_from_slice(&block);
        self.append_padded(body);
    }

    fn push_extended(&mut self, member: &mut Member) {
        let mut records = Vec::new();
        if !fits_ustar(&member.name) {
            records.push((b"path".to_vec(), member.name.clone()));
            member.name.truncate(100);
        }
        if member.link.len() > 100 {
            records.push((b"linkpath".to_vec(), member.link.clone()));
            member.link.truncate(100);
        }
        let (sec, nsec) = member.mtime;
        if !(0..0o77_777_777_777).contains(&sec) || nsec != 0 {
            records.push((b"mtime".to_vec(), pax_time(sec, nsec).into_bytes()));
            member.mtime = (0, 0);
        }
        for (key, id) in [("uid", &mut member.uid), ("gid", &mut member.gid)] {
            if *id > 0o7_777_777 {
                records.push((key.into(), id.to_string().into_bytes()));
                *id = 0;
            }
        }
        records.append(&mut member.records);
        if !records.is_empty() {
            let body: Vec<u8> = records
                .iter()
                .flat_map(|(key, value)| pax_record(key, value))
                .collect();
            self.simple(b'x', b"PaxHeaders/member", &body);
        }
    }

    fn push_long_names(&mut self, member: &mut Member) {
        for (kind, name) in [(b'K', &mut member.link), (b'L', &mut member.name)] {
            if name.len() > 100 {
                let mut body = name.clone();
                body.push(0);
                self.simple(kind, b"././@LongLink", &body);
                name.truncate(100);
            }
        }
    }
}

/// Writes a PAX record: the length in decimal, which counts itself, key and value.
#[must_use]
pub fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3; // blank, '=' and newline
    let mut digits = 1;
    while (rest + digits).to_string().len() != digits {
        digits += 1;
    }
    let mut record = format!("{} ", rest + digits).into_bytes();
    record.extend_from_slice(key);
    record.push(b'=');
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

/// Recomputes the checksum of the header block.
pub fn seal(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().copied().map(u32::from).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn header(member: &Member, name: &[u8], prefix: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..name.len()].copy_from_slice(name);
    number(&mut block[100..108], i128::from(member.mode));
    number(&mut block[108..116], i128::from(member.uid));
    number(&mut block[116..124], i128::from(member.gid));
    let size = member.stated.unwrap_or(member.body.len() as u64);
    number(&mut block[124..136], i128::from(size));
    number(&mut block[136..148], i128::from(member.mtime.0));
    block[156] = member.kind;
    block[157..157 + member.link.len()].copy_from_slice(&member.link);
    match member.dialect {
        Dialect::Pax => block[257..265].copy_from_slice(b"ustar\x0000"),
        Dialect::Gnu => block[257..265].copy_from_slice(b"ustar  \0"),
        Dialect::V7 => return block,
    }
    number(&mut block[329..337], i128::from(member.device.0));
    number(&mut block[337..345], i128::from(member.device.1));
    block[345..345 + prefix.len()].copy_from_slice(prefix);
    block
}

/// Writes octal digits and a NUL, or GNU's base-256 where they do not suffice.
fn number(field: &mut [u8], value: i128) {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}");
    if value >= 0 && text.len() <= digits {
        field[..digits].copy_from_slice(text.as_bytes());
    } else {
        let bytes = value.to_be_bytes();
        let count = field.len();
        field.copy_from_slice(&bytes[bytes.len() - count..]);
        field[0] |= 0x80;
    }
}

fn fits_ustar(name: &[u8]) -> bool {
    let (name, prefix) = split_name(name);
    name.len() <= 100 && prefix.len() <= 155
}

/// Splits a name into ustar's name and prefix; a name too long for both comes back whole.
fn split_name(name: &[u8]) -> (&[u8], &[u8]) {
    if name.len() <= 100 {
        return (name, &[]);
    }
    let slash = (name.len() - 101..name.len() - 1).find(|&i| name[i] == b'/');
    match slash {
        Some(i) if i <= 155 => (&name[i + 1..], &name[..i]),
        _ => (name, &[]),
    }
}

/// Fills the four map slots of a GNU sparse header and returns the extension blocks.
fn gnu_sparse_tables(block: &mut [u8; BLOCK], map: &[(u64, u64)], size: u64) -> Vec<u8> {
    fn slot(at: &mut [u8], (offset, length): (u64, u64)) {
        number(&mut at[..12], i128::from(offset));
        number(&mut at[12..24], i128::from(length));
    }
    let (first, rest) = map.split_at(map.len().min(4));
    for (i, piece) in first.iter().enumerate() {
        slot(&mut block[386 + 24 * i..][..24], *piece);
    }
    block[482] = u8::from(!rest.is_empty());
    number(&mut block[483..495], i128::from(size));
    let mut tables = Vec::new();
    let mut chunks = rest.chunks(21).peekable();
    while let Some(chunk) = chunks.next() {
        let mut table = [0; BLOCK];
        for (i, piece) in chunk.iter().enumerate() {
            slot(&mut table[24 * i..][..24], *piece);
        }
        table[504] = u8::from(chunks.peek().is_some());
        tables.extend_from_slice(&table);
    }
    tables
}

/// Writes a time as PAX does: a signed decimal fraction.
fn pax_time(sec: i64, nsec: u32) -> String {
    let nanos = i128::from(sec) * 1_000_000_000 + i128::from(nsec);
    let sign = if nanos < 0 { "-" } else { "" };
    let (whole, part) = (nanos.abs() / 1_000_000_000, nanos.abs() % 1_000_000_000);
    if part == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{part:09}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(pax_record(b"a", b"b"), b"6 a=b\n");
        // One byte more than fits two digits needs a third, which counts as well.
        assert!(pax_record(b"k", &[b'v'; 93]).starts_with(b"99 "));
        assert!(pax_record(b"k", &[b'v'; 94]).starts_with(b"101 "));
    }

    #[test]
    fn a_time_before_1970_is_a_negative_fraction() {
        assert_eq!(pax_time(-2, 500_000_000), "-1.500000000");
        assert_eq!(pax_time(-1, 0), "-1");
        assert_eq!(pax_time(7, 1), "7.000000001");
    }

    #[test]
    fn an_archive_ends_at_a_record() {
        let mut archive = Archive::new();
        assert_eq!(archive.push(&Member::file("a", "x")), 0);
        assert_eq!(archive.push(&Member::dir("b")), 1024);
        assert_eq!(archive.finish().len(), 10240);
    }
}
