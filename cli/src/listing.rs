//! How commands show inodes: a line as `ls -l` has it, or a JSON object.

pub(crate) mod flags;
pub(crate) mod xattr;

use forger_fs::ext4::{FileType, Inode};
use forger_fs::tree::Time;
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::image::Opened;
use crate::print;

/// Returns what an inode is, in a word.
pub(crate) fn kind(file_type: FileType) -> &'static str {
    match file_type {
        FileType::File => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symlink",
        FileType::CharDevice => "char",
        FileType::BlockDevice => "block",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
    }
}

/// Returns type and permissions as `ls -l` has them: `drwxr-xr-x`.
pub(crate) fn permissions(inode: &Inode) -> String {
    let mode = inode.mode();
    let first = match inode.file_type() {
        FileType::File => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::CharDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
    };
    let mut text = String::from(first);
    for (shift, special, mark) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift & 7;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => mark,
            (true, false) => mark.to_ascii_uppercase(),
        });
    }
    text
}

/// Returns a time in UTC: `2024-05-01T12:00:00.000000001Z`, nanoseconds only where there are any.
pub(crate) fn utc(time: Time) -> String {
    let nanoseconds = match time.nsec {
        0 => String::new(),
        nsec => format!(".{nsec:09}"),
    };
    format!("{}{nanoseconds}Z", seconds(time))
}

/// Returns a time in UTC with its nanoseconds: `2024-05-01T12:00:00.000000000Z`.
pub(crate) fn utc_nanoseconds(time: Time) -> String {
    format!("{}.{:09}Z", seconds(time), time.nsec)
}

fn seconds(time: Time) -> String {
    let days = time.sec.div_euclid(86_400);
    let second = time.sec.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}",
        second % 60
    )
}

/// Returns year, month and day of a number of days since 1970-01-01 (proleptic Gregorian calendar).
fn civil(days: i64) -> (i64, i64, i64) {
    // Years begin in March, so that the leap day is their last; an era has 400 of them.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let calendar_month = if month < 10 { month + 3 } else { month - 9 };
    (
        year + era * 400 + i64::from(calendar_month <= 2),
        calendar_month,
        day,
    )
}

/// Returns a name for a terminal or a line: what is not printable UTF-8 is escaped.
pub(crate) fn shown(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_control() || letter == '\\' {
                text.extend(letter.escape_default());
            } else {
                text.push(letter);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Returns the facts of an inode that fit a line.
pub(crate) fn json_inode(inode: &Inode) -> Value {
    json!({
        "inode": inode.number().0,
        "type": kind(inode.file_type()),
        "mode": format!("{:04o}", inode.mode()),
        "uid": inode.uid(),
        "gid": inode.gid(),
        "links": inode.links(),
        "size": inode.size(),
        "mtime": utc(inode.mtime()),
        "encrypted": inode.is_encrypted(),
        "device": inode.device().map(|device| format!("{}:{}", device.major, device.minor)),
    })
}

/// Returns a line of JSON for a name.
///
/// # Errors
/// A symlink whose target cannot be read.
pub(crate) fn json_line(
    opened: &Opened,
    inode: &Inode,
    name: &[u8],
    path: &[u8],
) -> Result<String, Failure> {
    let target = symlink(opened, inode, path)?;
    let mut object = json_inode(inode);
    if let Value::Object(fields) = &mut object {
        fields.insert("name".into(), shown(name).into());
        fields.insert("path".into(), shown(path).into());
        fields.insert("target".into(), target.into());
    }
    Ok(print::json_line(&object))
}

/// Returns the target of a symlink for a line; none of anything else, and of one that is encrypted.
///
/// # Errors
/// A target that cannot be read.
pub(crate) fn symlink(
    opened: &Opened,
    inode: &Inode,
    path: &[u8],
) -> Result<Option<String>, Failure> {
    if inode.file_type() != FileType::Symlink || inode.is_encrypted() {
        return Ok(None);
    }
    let target = opened.image.symlink(inode);
    let target = target.map_err(|error| opened.failure_at(path, error))?;
    Ok(Some(shown(&target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc_before_and_after_1970() {
        let text = |sec, nsec| utc(Time { sec, nsec });
        assert_eq!(text(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(text(-1, 5), "1969-12-31T23:59:59.000000005Z");
        assert_eq!(text(951_782_400, 0), "2000-02-29T00:00:00Z");
        assert_eq!(text(1_700_000_000, 0), "2023-11-14T22:13:20Z");
        assert_eq!(text(15_032_385_535, 0), "2446-05-10T22:38:55Z");
        assert_eq!(text(-2_147_483_648, 0), "1901-12-13T20:45:52Z");
    }

    #[test]
    fn names_that_are_no_text_are_escaped() {
        assert_eq!(shown(b"a\xff\x1b\\\xc3\xa9"), "a\\xff\\u{1b}\\\\\u{e9}");
    }
}
