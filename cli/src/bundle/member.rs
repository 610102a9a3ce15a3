//! The tar members of a bundle: `rootfs.ext4`, then `manifest.json`.
//!
//! ```text
//!   offset len  field     value (POSIX.1-2017, pax, "ustar Interchange Format")
//!        0 100  name      rootfs.ext4
//!      100   8  mode      0000644
//!      108   8  uid       0000000
//!      116   8  gid       0000000
//!      124  12  size      11 octal digits; 0 where a PAX record has it (from 8 GiB on)
//!      136  12  mtime     11 octal digits; 0 where a PAX record has it (from the year 2242 on)
//!      148   8  checksum  6 octal digits, NUL, space: the sum of all bytes, spaces for this field
//!      156   1  typeflag  '0' a file, 'x' PAX records for the next header
//!      257   8  magic     "ustar\0" and version "00"
//! ```

/// The length of a tar block in bytes.
pub(super) const BLOCK: usize = 512;
/// The image's name in the bundle.
pub(super) const IMAGE: &str = "rootfs.ext4";
/// The manifest's name in the bundle.
pub(super) const MANIFEST: &str = "manifest.json";
/// The largest number of 11 octal digits.
const MAX_OCTAL: u64 = (1 << 33) - 1;

/// Returns what stands before a file's content: its header, after PAX records if it needs them.
pub(super) fn header(name: &str, size: u64, mtime: u64) -> Vec<u8> {
    let mut records = Vec::new();
    for (key, value) in [("size", size), ("mtime", mtime)] {
        if value > MAX_OCTAL {
            records.extend_from_slice(record(key, value).as_bytes());
        }
    }
    let fits = |value| if value > MAX_OCTAL { 0 } else { value };
    let mut out = Vec::new();
    if !records.is_empty() {
        let pax_name = format!("PaxHeaders/{name}");
        out.extend_from_slice(&block(&pax_name, records.len() as u64, fits(mtime), b'x'));
        out.extend_from_slice(&records);
        pad(&mut out);
    }
    out.extend_from_slice(&block(name, fits(size), fits(mtime), b'0'));
    out
}

/// Fills up the last block with zeros.
pub(super) fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

/// Appends the end of the archive: two blocks of zeros.
pub(super) fn end(out: &mut Vec<u8>) {
    out.resize(out.len() + 2 * BLOCK, 0);
}

/// A PAX record: its own length in decimal digits, a space, `key=value`, a newline.
fn record(key: &str, value: u64) -> String {
    let rest = format!(" {key}={value}\n");
    let mut len = rest.len() + 1;
    while len != rest.len() + len.to_string().len() {
        len += 1;
    }
    format!("{len}{rest}")
}

fn block(name: &str, size: u64, mtime: u64, kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let checksum = " ".repeat(8);
    let kind = char::from(kind).to_string();
    let fields = [
        (0, name),
        (100, "0000644"),
        (108, "0000000"),
        (116, "0000000"),
        (124, &format!("{size:011o}")),
        (136, &format!("{mtime:011o}")),
        (148, &checksum),
        (156, &kind),
        (257, "ustar\x0000"),
        (329, "0000000"),
        (337, "0000000"),
    ];
    for (at, text) in fields {
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    let sum: u32 = block.iter().copied().map(u32::from).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_own_length() {
        assert_eq!(record("size", 8_589_934_592), "19 size=8589934592\n");
        assert_eq!(record("a", 1), "6 a=1\n");
        // A length that gains a digit by being counted.
        assert_eq!(record("abcd", 123), "12 abcd=123\n");
    }

    #[test]
    fn a_pax_header_comes_from_8_gib_on() {
        assert_eq!(header(IMAGE, MAX_OCTAL, 0).len(), BLOCK);
        assert_eq!(header(IMAGE, MAX_OCTAL + 1, 0).len(), 3 * BLOCK);
        assert_eq!(header(IMAGE, 0, MAX_OCTAL + 1).len(), 3 * BLOCK);
    }
}
