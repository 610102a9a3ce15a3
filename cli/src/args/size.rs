//! Sizes and shares: `4G`, `1.5GiB`, `10GB`, `20%`.

use std::ops::RangeInclusive;

use forger_fs::ext4::{BLOCK_SIZE, Free};

/// What a size looks like, for messages.
const FORMS: &str = "expected a number of bytes, or a number with K, M, G, T or KiB, MiB, GiB, TiB \
                     (powers of 1024) or kB, MB, GB, TB (powers of 1000), as in 4G, 1.5GiB or 10GB";

/// Reads a size in bytes.
///
/// `K M G T` and `KiB MiB GiB TiB` are powers of 1024, as in qemu-img and mke2fs; `kB MB GB TB` are
/// powers of 1000. A fraction is exact and rounded down to whole bytes.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit_of(unit).ok_or(FORMS)?;
    let (units, scale) = decimal(number).ok_or(FORMS)?;
    let bytes = units
        .checked_mul(u128::from(unit))
        .map(|scaled| scaled / scale)
        .and_then(|bytes| u64::try_from(bytes).ok())
        .filter(|bytes| i64::try_from(*bytes).is_ok());
    bytes.ok_or_else(|| "larger than 8 EiB, which no file can be".to_owned())
}

/// Reads a percentage between 0 and `limit` as hundredths of a percent.
fn share(text: &str, limit: u16) -> Result<u16, String> {
    let range = || format!("expected a percentage between 0 and {limit}, as in 5 or 2.5");
    let (units, scale) = decimal(text).ok_or_else(range)?;
    let hundredths = units
        .checked_mul(100)
        .filter(|scaled| scaled % scale == 0)
        .map(|scaled| scaled / scale)
        .ok_or("expected at most two digits after the point")?;
    u16::try_from(hundredths)
        .ok()
        .filter(|hundredths| *hundredths <= limit * 100)
        .ok_or_else(range)
}

/// Reads a percentage up to 100 as hundredths of a percent.
pub(crate) fn percent(text: &str) -> Result<u16, String> {
    share(text, 100)
}

/// Reads `--reserved`: a percentage, with or without `%`, as hundredths of a percent.
pub(crate) fn reserved(text: &str) -> Result<u16, String> {
    share(text.strip_suffix('%').unwrap_or(text), 50)
}

/// Reads `--free`: a size, or a percentage with `%`.
pub(crate) fn free(text: &str) -> Result<Free, String> {
    match text.strip_suffix('%') {
        Some(percent) => share(percent, 95).map(Free::Share),
        None => parse(text).map(Free::Bytes),
    }
}

/// Reads `--bytes-per-inode`: a size between 1 KiB and 64 MiB.
pub(crate) fn per_inode(text: &str) -> Result<u64, String> {
    within(text, 1 << 10..=64 << 20, "1K and 64M")
}

/// Reads `--journal-size`: a size between 4 MiB and 40 GiB of whole blocks.
pub(crate) fn journal(text: &str) -> Result<u64, String> {
    let bytes = within(text, 4 << 20..=40 << 30, "4M and 40G")?;
    if !bytes.is_multiple_of(BLOCK_SIZE) {
        return Err(format!("{bytes} bytes is no multiple of {BLOCK_SIZE}"));
    }
    Ok(bytes)
}

fn within(text: &str, range: RangeInclusive<u64>, shown: &str) -> Result<u64, String> {
    let bytes = parse(text)?;
    match range.contains(&bytes) {
        true => Ok(bytes),
        false => Err(format!("{bytes} bytes is not between {shown}")),
    }
}

/// Reads `--size`: a size, or `auto` (`None`).
pub(crate) fn image(text: &str) -> Result<ImageSize, String> {
    if text == "auto" {
        return Ok(ImageSize::Auto);
    }
    parse(text)
        .map(ImageSize::Bytes)
        .map_err(|reason| format!("{reason}, or auto"))
}

/// What `--size` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageSize {
    /// As large as the content and its free space need.
    Auto,
    /// So many bytes.
    Bytes(u64),
}

/// Reads the SIZE of `forger resize`.
pub(crate) fn new_size(text: &str) -> Result<NewSize, String> {
    let part = |text: &str| match text.strip_suffix('%') {
        Some(percent) => share(percent, 600).map(Part::Share),
        None => parse(text).map(Part::Bytes),
    };
    match text.split_at_checked(1) {
        _ if text == "min" => Ok(NewSize::Smallest),
        _ if text == "max" => Ok(NewSize::Largest),
        Some(("+", more)) => part(more).map(NewSize::More),
        Some(("-", less)) => part(less).map(NewSize::Less),
        _ => parse(text)
            .map(NewSize::Bytes)
            .map_err(|reason| format!("{reason}, one of these after + or -, min or max")),
    }
}

/// The SIZE of `forger resize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewSize {
    /// So many bytes.
    Bytes(u64),
    /// So much more than now.
    More(Part),
    /// So much less than now.
    Less(Part),
    /// As small as possible.
    Smallest,
    /// All there is room for.
    Largest,
}

impl NewSize {
    /// Returns the size in bytes of what has `now` of them, where that says it.
    pub(crate) fn known(self, now: u64) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::More(part) => Some(now.saturating_add(part.of(now))),
            Self::Less(part) => Some(now.saturating_sub(part.of(now))),
            Self::Smallest | Self::Largest => None,
        }
    }
}

/// A part of a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// So many bytes.
    Bytes(u64),
    /// Hundredths of a percent.
    Share(u16),
}

impl Part {
    /// Returns the part of `whole` in bytes.
    pub(crate) fn of(self, whole: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Share(share) => {
                let part = u128::from(whole) * u128::from(share) / 10_000;
                u64::try_from(part).unwrap_or(u64::MAX)
            }
        }
    }
}

/// Returns the bytes that one of a unit has; no unit means bytes.
fn unit_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "" | "B" => 1,
        "k" | "K" | "KiB" => 1 << 10,
        "m" | "M" | "MiB" => 1 << 20,
        "g" | "G" | "GiB" => 1 << 30,
        "t" | "T" | "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    })
}

/// Reads `12` or `1.25` as a numerator and a power of ten; at most nine digits after the point.
fn decimal(text: &str) -> Option<(u128, u128)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let point_needs_digits = text.contains('.') && fraction.is_empty();
    if whole.is_empty()
        || point_needs_digits
        || fraction.len() > 9
        || !digits(whole)
        || !digits(fraction)
    {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let whole = u128::from(whole.parse::<u64>().ok()?);
    let fraction = match fraction {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    Some((whole * scale + fraction, scale))
}

/// Shows a size exactly, and as [`human`] does.
pub(crate) fn both(bytes: u64) -> String {
    format!("{bytes} bytes ({})", human(bytes))
}

/// Writes a number of bytes for people: `512.0 MiB`, exact below 1 KiB.
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths of the unit, rounded half up, so that no floating point number is needed.
    let mut unit = 1_u128 << 10;
    let mut name = 0;
    let tenths = |unit: u128| (u128::from(bytes) * 10 + unit / 2) / unit;
    while tenths(unit) >= 10_240 && name + 1 < UNITS.len() {
        unit <<= 10;
        name += 1;
    }
    let tenths = tenths(unit);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[name])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_number_is_bytes() {
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("4096"), Ok(4096));
        assert_eq!(parse("512B"), Ok(512));
    }

    #[test]
    fn single_letters_and_ib_are_powers_of_1024() {
        for (text, bytes) in [
            ("4G", 4 << 30),
            ("4GiB", 4 << 30),
            ("512M", 512 << 20),
            ("1k", 1024),
            ("1K", 1024),
            ("2T", 2 << 40),
            ("100GiB", 100 << 30),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn b_units_are_powers_of_1000() {
        assert_eq!(parse("10GB"), Ok(10_000_000_000));
        assert_eq!(parse("1kB"), Ok(1000));
    }

    #[test]
    fn fractions_are_exact_and_rounded_down() {
        assert_eq!(parse("1.5G"), Ok(3 << 29));
        assert_eq!(parse("0.1K"), Ok(102));
        assert_eq!(parse("0.000000001TB"), Ok(1000));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "G",
            "-1",
            "+1",
            "1.",
            ".5G",
            "1.2.3",
            "4 G",
            "4GiBs",
            "4Gi",
            "1e9",
            "٣",
            "1.0000000001G",
            "0x10",
            "99999999999999999999",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn more_than_a_file_can_hold_is_refused() {
        assert!(parse("8388608T").unwrap_err().contains("8 EiB"));
        assert_eq!(parse("9223372036854775807"), Ok(u64::MAX >> 1));
    }

    #[test]
    fn free_takes_sizes_and_percentages() {
        assert_eq!(free("512M"), Ok(Free::Bytes(512 << 20)));
        assert_eq!(free("20%"), Ok(Free::Share(2000)));
        assert_eq!(free("12.5%"), Ok(Free::Share(1250)));
        assert_eq!(free("95%"), Ok(Free::Share(9500)));
        assert!(free("95.01%").is_err());
        assert!(free("%").is_err());
        assert!(free("0.001%").is_err());
    }

    #[test]
    fn reserved_takes_percentages_up_to_50() {
        assert_eq!(reserved("5"), Ok(500));
        assert_eq!(reserved("2.5%"), Ok(250));
        assert!(reserved("51").is_err());
        assert!(reserved("five").is_err());
    }

    #[test]
    fn journals_and_inode_ratios_have_their_ranges() {
        assert_eq!(journal("64M"), Ok(64 << 20));
        assert_eq!(per_inode("16K"), Ok(16 << 10));
        for text in ["1M", "41G", "4195304"] {
            assert!(journal(text).is_err(), "{text}");
        }
        assert!(per_inode("1023").is_err());
        assert!(per_inode("65M").is_err());
    }

    #[test]
    fn new_sizes_are_absolute_relative_or_named() {
        assert_eq!(new_size("4G"), Ok(NewSize::Bytes(4 << 30)));
        assert_eq!(new_size("+1M"), Ok(NewSize::More(Part::Bytes(1 << 20))));
        assert_eq!(new_size("-20%"), Ok(NewSize::Less(Part::Share(2000))));
        assert_eq!(new_size("min"), Ok(NewSize::Smallest));
        assert_eq!(new_size("max"), Ok(NewSize::Largest));
        assert_eq!(Part::Share(2000).of(1000), 200);
        for text in ["", "+", "-", "20%", "+-1G", "minimum", "+601%"] {
            assert!(new_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn size_takes_auto() {
        assert_eq!(image("auto"), Ok(ImageSize::Auto));
        assert_eq!(image("4G"), Ok(ImageSize::Bytes(4 << 30)));
        assert!(image("automatic").unwrap_err().ends_with("or auto"));
    }

    #[test]
    fn human_rounds_and_never_says_1024() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (512 << 20, "512.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
