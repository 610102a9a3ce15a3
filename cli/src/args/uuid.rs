//! UUIDs: 32 hexadecimal digits, usually grouped 8-4-4-4-12.

/// Reads a UUID, with its hyphens or without any.
pub(crate) fn parse(text: &str) -> Result<[u8; 16], String> {
    let hex = match text.len() {
        36 if hyphens(text) => text.replace('-', ""),
        _ => text.to_owned(),
    };
    digest::<16>(&hex).ok_or_else(|| {
        "expected 32 hexadecimal digits, as in 123e4567-e89b-12d3-a456-426614174000".to_owned()
    })
}

/// What `--uuid` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identifier {
    /// A UUID.
    Uuid([u8; 16]),
    /// The volume id of a FAT.
    Volume(u32),
}

/// Reads a UUID, or the volume id of a FAT: eight hexadecimal digits, grouped 4-4.
pub(crate) fn identifier(text: &str) -> Result<Identifier, String> {
    let hex = match text.split_once('-') {
        Some((high, low)) if high.len() == 4 && low.len() == 4 => format!("{high}{low}"),
        _ => text.to_owned(),
    };
    match digest::<4>(&hex) {
        Some(id) => Ok(Identifier::Volume(u32::from_be_bytes(id))),
        None => parse(text).map(Identifier::Uuid),
    }
}

/// Writes the volume id of a FAT.
pub(crate) fn volume_text(id: u32) -> String {
    format!("{:04X}-{:04X}", id >> 16, id & 0xffff)
}

/// Reads a SHA-256 as 64 hexadecimal digits, with or without `sha256:` before them.
pub(crate) fn sha256(text: &str) -> Result<[u8; 32], String> {
    digest(text.strip_prefix("sha256:").unwrap_or(text))
        .ok_or_else(|| "expected the 64 hexadecimal digits of a SHA-256".to_owned())
}

/// Writes a UUID in its usual groups, in lower case.
pub(crate) fn text(uuid: &[u8; 16]) -> String {
    let mut out = String::with_capacity(36);
    for (at, byte) in uuid.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push_str(&format!("{byte:02x}"));
    }
    out
}

/// Tells whether hyphens stand exactly where a UUID has them.
fn hyphens(text: &str) -> bool {
    text.char_indices()
        .all(|(at, c)| (c == '-') == matches!(at, 8 | 13 | 18 | 23))
}

/// Reads exactly `N` bytes in hexadecimal.
fn digest<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let digits: Option<Vec<u8>> = hex
        .chars()
        .map(|c| c.to_digit(16)?.try_into().ok())
        .collect();
    let bytes: Vec<u8> = digits?
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    (hex.len() == 2 * N).then_some(())?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "123e4567-e89b-12d3-a456-426614174000";

    #[test]
    fn both_forms_and_cases_are_read() {
        let uuid = parse(UUID).unwrap();
        assert_eq!(uuid[..4], [0x12, 0x3e, 0x45, 0x67]);
        assert_eq!(parse("123E4567E89B12D3A456426614174000"), Ok(uuid));
        assert_eq!(text(&uuid), UUID);
    }

    #[test]
    fn wrong_lengths_groups_and_digits_are_refused() {
        for text in [
            "",
            "random",
            "123e4567",
            "123e4567-e89b-12d3-a456-42661417400",
            "123e4567e-89b-12d3-a456-426614174000",
            "123e4567-e89b-12d3-a456-42661417400g",
            "{123e4567-e89b-12d3-a456-426614174000}",
            "123e4567e89b12d3a4564266141740001",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sha256_takes_its_prefix() {
        let hex = "ab".repeat(32);
        assert_eq!(sha256(&hex), Ok([0xab; 32]));
        assert_eq!(sha256(&format!("sha256:{hex}")), Ok([0xab; 32]));
        assert!(sha256(&hex[1..]).is_err());
        assert!(sha256(&format!("{hex}a")).is_err());
    }
}
