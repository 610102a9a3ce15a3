//! Points in time: `@1700000000`, `2024-05-01T12:00:00Z`, `now`.

use forger_fs::tree::Time;

/// What a time looks like, for messages.
const FORMS: &str = "expected @SECONDS since 1970, RFC 3339 as in 2024-05-01T12:00:00Z, or now";

/// What `--time` says; the clock is read later, by the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// This very time.
    At(Time),
    /// The time at which the command runs.
    Now,
}

/// Reads `--time`.
pub(crate) fn parse(text: &str) -> Result<When, String> {
    let time = match text.strip_prefix('@') {
        Some(seconds) => epoch(seconds),
        None if text == "now" => return Ok(When::Now),
        None => rfc3339(text),
    };
    time.map(When::At).ok_or_else(|| FORMS.to_owned())
}

/// Reads `SOURCE_DATE_EPOCH`: whole seconds since 1970.
pub(crate) fn source_date_epoch(text: &str) -> Option<Time> {
    text.parse().ok().map(Time::from_sec)
}

/// Writes a time as [`parse`] reads it: `@1700000000`, `@-1.25`.
pub(crate) fn text(time: Time) -> String {
    let (whole, nsec) = match time.nsec {
        // Nanoseconds count forward from the whole second, also before 1970.
        nsec if time.sec < 0 && nsec > 0 => (time.sec + 1, 1_000_000_000 - nsec),
        nsec => (time.sec, nsec),
    };
    let sign = if time.sec < 0 && whole == 0 { "-" } else { "" };
    match nsec {
        0 => format!("@{whole}"),
        nsec => format!("@{sign}{whole}.{nsec:09}")
            .trim_end_matches('0')
            .to_owned(),
    }
}

/// Reads `-5`, `1700000000` or `1700000000.25`.
fn epoch(text: &str) -> Option<Time> {
    let (whole, fraction) = text
        .split_once('.')
        .map_or((text, None), |(w, f)| (w, Some(f)));
    let nsec = fraction.map_or(Some(0), nanoseconds)?;
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let sec: i64 = whole.parse().ok()?;
    if whole.starts_with('-') && nsec > 0 {
        // Nanoseconds count forward from the second before.
        return Some(Time {
            sec: sec.checked_sub(1)?,
            nsec: 1_000_000_000 - nsec,
        });
    }
    Some(Time { sec, nsec })
}

/// Reads the digits after the point as nanoseconds.
fn nanoseconds(digits: &str) -> Option<u32> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || digits.len() > 9 || !plain {
        return None;
    }
    format!("{digits:0<9}").parse().ok()
}

/// Reads `2024-05-01T12:00:00[.25](Z|+02:00)`; a space may stand for the `T`.
fn rfc3339(text: &str) -> Option<Time> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = fields(clock, ':', [2, 2, 2])?;
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(zone_at);
    let nsec = match fraction.strip_prefix('.') {
        Some(digits) => nanoseconds(digits)?,
        None if fraction.is_empty() => 0,
        None => return None,
    };
    // A leap second is the first second of the next minute, as POSIX has none.
    if hour > 23 || minute > 59 || second > 60 || day == 0 || day > days_in(year, month)? {
        return None;
    }
    let sec = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(Time {
        sec: sec - offset(zone)?,
        nsec,
    })
}

/// Reads `Z` or `+02:00` as seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, clock) = zone.split_at_checked(1)?;
    let [hours, minutes] = fields(clock, ':', [2, 2])?;
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = hours * 3600 + minutes * 60;
    Some(if sign == "-" { -seconds } else { seconds })
}

/// Splits `text` into exactly `N` decimal fields of the given widths.
fn fields<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut values = [0; N];
    let mut parts = text.split(separator);
    for (value, width) in values.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *value = part.parse().ok()?;
    }
    parts.next().is_none().then_some(values)
}

/// Returns the number of days in a month of the Gregorian calendar.
fn days_in(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    })
}

/// Returns the days from 1970-01-01 to a date of the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is a year's last; 400 years have 146,097
/// days.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sec: i64, nsec: u32) -> Result<When, String> {
        Ok(When::At(Time { sec, nsec }))
    }

    #[test]
    fn epoch_seconds_take_sign_and_fraction() {
        assert_eq!(parse("@0"), at(0, 0));
        assert_eq!(parse("@1700000000"), at(1_700_000_000, 0));
        assert_eq!(parse("@-1"), at(-1, 0));
        assert_eq!(parse("@1.25"), at(1, 250_000_000));
        assert_eq!(parse("@-1.25"), at(-2, 750_000_000));
    }

    #[test]
    fn written_times_are_read_back() {
        for (sec, nsec, text) in [
            (0, 0, "@0"),
            (1_700_000_000, 250_000_000, "@1700000000.25"),
            (-1, 500_000_000, "@-0.5"),
            (-2, 750_000_000, "@-1.25"),
            (-3, 0, "@-3"),
            (10, 0, "@10"),
            (i64::MIN, 1, "@-9223372036854775807.999999999"),
        ] {
            assert_eq!(super::text(Time { sec, nsec }), text);
            assert_eq!(parse(text), at(sec, nsec), "{text}");
        }
    }

    #[test]
    fn rfc3339_takes_zones_and_fractions() {
        assert_eq!(parse("1970-01-01T00:00:00Z"), at(0, 0));
        assert_eq!(parse("2024-02-29T12:30:45Z"), at(1_709_209_845, 0));
        assert_eq!(
            parse("2024-02-29 14:30:45.5+02:00"),
            at(1_709_209_845, 500_000_000)
        );
        assert_eq!(parse("2024-02-29T07:00:45-05:30"), at(1_709_209_845, 0));
        assert_eq!(parse("1901-12-13T20:45:52Z"), at(-(1 << 31), 0));
        assert_eq!(parse("1600-02-29T00:00:00Z"), at(-11_670_998_400, 0));
        assert_eq!(parse("2016-12-31T23:59:60Z"), at(1_483_228_800, 0));
    }

    #[test]
    fn now_is_left_to_the_clock() {
        assert_eq!(parse("now"), Ok(When::Now));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "@",
            "@-",
            "@+1",
            "@1.",
            "@x",
            "1700000000",
            "yesterday",
            "2024-05-01",
            "2024-05-01T12:00:00",
            "2024-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-05-01T24:00:00Z",
            "2024-05-01T12:00:00.Z",
            "2024-05-01T12:00:00+2:00",
            "2024-05-01T12:00:00Zjunk",
            "2024-05-0éT12:00:00Z",
            "+024-05-01T12:00:00Z",
            "2024-00-01T00:00:00Z",
            "2024-05-00T00:00:00Z",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn source_date_epoch_is_whole_seconds() {
        assert_eq!(
            source_date_epoch("1700000000"),
            Some(Time::from_sec(1_700_000_000))
        );
        assert_eq!(source_date_epoch("1.5"), None);
        assert_eq!(source_date_epoch(""), None);
    }
}
