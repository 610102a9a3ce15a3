//! Owners: `keep`, `root`, `1000:1000`.

/// Who owns the files of a source in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Whoever owns them in the source.
    Keep,
    /// This user and group id.
    Ids(u32, u32),
}

/// Reads `--owner`.
pub(crate) fn parse(text: &str) -> Result<Owner, String> {
    match text {
        "keep" => Ok(Owner::Keep),
        "root" => Ok(Owner::Ids(0, 0)),
        ids => pair(ids)
            .map(|(uid, gid)| Owner::Ids(uid, gid))
            .ok_or_else(|| "expected keep, root or UID:GID in numbers, as in 1000:1000".to_owned()),
    }
}

/// Reads `UID:GID`.
pub(crate) fn ids(text: &str) -> Result<(u32, u32), String> {
    pair(text).ok_or_else(|| "expected UID:GID in numbers, as in 1000:1000".to_owned())
}

/// Reads two decimal ids; 4294967295 means "no id" to the kernel and is none.
fn pair(text: &str) -> Option<(u32, u32)> {
    let (uid, gid) = text.split_once(':')?;
    Some((id(uid)?, id(gid)?))
}

/// Reads one decimal id.
pub(crate) fn id(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| plain && *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_ids_are_read() {
        assert_eq!(parse("keep"), Ok(Owner::Keep));
        assert_eq!(parse("root"), Ok(Owner::Ids(0, 0)));
        assert_eq!(parse("1000:100"), Ok(Owner::Ids(1000, 100)));
        assert_eq!(ids("0:4294967294"), Ok((0, u32::MAX - 1)));
    }

    #[test]
    fn names_signs_and_halves_are_refused() {
        for text in [
            "",
            "daemon",
            "daemon:daemon",
            "1000",
            "1000:",
            ":0",
            "+1:1",
            "-1:1",
            "1:4294967295",
            "1:2:3",
            "1:4294967296",
        ] {
            assert!(parse(text).is_err(), "{text}");
            assert!(ids(text).is_err(), "{text}");
        }
    }
}
