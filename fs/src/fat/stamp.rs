//! Times: a date of 16 bits, a time of 16 bits in steps of two seconds, and hundredths for creation.

use crate::tree::Time;

/// 1980-01-01T00:00:00Z.
pub(super) const FIRST: i64 = 315_532_800;
/// 2107-12-31T23:59:59Z.
const LAST: i64 = 4_354_819_199;
const DAY: i64 = 86_400;

/// A point in time as a folder's entry holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Year since 1980 (7 bits), month (4), day (5).
    pub(super) date: u16,
    /// Hour (5 bits), minute (6), seconds halved (5).
    pub(super) time: u16,
    /// Hundredths of a second that `time` leaves out, 0..=199.
    pub(super) hundredths: u8,
}

/// Tells whether FAT can hold a time.
pub(super) fn is_held(time: Time) -> bool {
    (FIRST..=LAST).contains(&time.sec)
}

impl Stamp {
    /// Rounds a time down to what FAT can hold, taken as UTC; what lies outside becomes the nearest.
    pub(super) fn of(time: Time) -> Self {
        let held = time.sec.clamp(FIRST, LAST);
        let (days, second) = (held.div_euclid(DAY), held.rem_euclid(DAY));
        let (year, month, day) = civil(days);
        let date = (year - 1980) << 9 | month << 5 | day;
        let clock = (second / 3600) << 11 | (second / 60 % 60) << 5 | (second % 60 / 2);
        let nsec = if held == time.sec { time.nsec } else { 0 };
        let hundredths = second % 2 * 100 + i64::from(nsec / 10_000_000);
        Self {
            date: u16::try_from(date).unwrap_or_default(),
            time: u16::try_from(clock).unwrap_or_default(),
            hundredths: u8::try_from(hundredths).unwrap_or_default(),
        }
    }

    /// Returns the time; nothing for one that no calendar has.
    pub(super) fn to_time(self) -> Option<Time> {
        let field =
            |value: u16, shift: u32, bits: u32| i64::from(value >> shift & ((1 << bits) - 1));
        let (year, month, day) = (
            field(self.date, 9, 7).saturating_add(1980),
            field(self.date, 5, 4),
            field(self.date, 0, 5),
        );
        let (hour, minute, second) = (
            field(self.time, 11, 5),
            field(self.time, 5, 6),
            field(self.time, 0, 5).saturating_mul(2),
        );
        if !(1..=12).contains(&month) || day == 0 || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let clock = [(hour, 3600), (minute, 60), (second, 1)];
        let clock: i64 = clock.iter().map(|(n, unit)| n.saturating_mul(*unit)).sum();
        let extra = i64::from(self.hundredths.min(199));
        let sec = days(year, month, day)
            .saturating_mul(DAY)
            .saturating_add(clock)
            .saturating_add(extra.div_euclid(100));
        let nsec = u32::try_from(extra.rem_euclid(100)).ok()?;
        Some(Time {
            sec,
            nsec: nsec.saturating_mul(10_000_000),
        })
    }
}

/// Returns year, month and day of a day since 1970-01-01 (Howard Hinnant's algorithm).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * index + 2) / 5 + 1;
    let month = if index < 10 { index + 3 } else { index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Returns the day since 1970-01-01 of a date from 1980 to 2107.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year.saturating_sub(i64::from(month <= 2));
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let index = month.saturating_add(9).rem_euclid(12);
    let day_of_year = (index.saturating_mul(153).saturating_add(2) / 5)
        .saturating_add(day)
        .saturating_sub(1);
    let day_of_era = year_of_era
        .saturating_mul(365)
        .saturating_add(year_of_era / 4)
        .saturating_sub(year_of_era / 100)
        .saturating_add(day_of_year);
    era.saturating_mul(146_097)
        .saturating_add(day_of_era)
        .saturating_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_have_known_bits() {
        let stamp = Stamp::of(Time {
            sec: 1_700_000_001,
            nsec: 990_000_000,
        });
        // 2023-11-14T22:13:21.99Z
        assert_eq!(stamp.date, (2023 - 1980) << 9 | 11 << 5 | 14);
        assert_eq!(stamp.time, 22 << 11 | 13 << 5 | 10);
        assert_eq!(stamp.hundredths, 199);
    }

    #[test]
    fn every_day_from_1980_to_2107_comes_back() {
        for day in FIRST / DAY..=LAST / DAY {
            let time = Time {
                sec: day * DAY + 43_211,
                nsec: 120_000_000,
            };
            assert_eq!(Stamp::of(time).to_time(), Some(time));
        }
    }

    #[test]
    fn times_outside_become_the_nearest() {
        let time = |sec| Stamp::of(Time { sec, nsec: 5 }).to_time().unwrap().sec;
        assert_eq!(time(0), FIRST);
        assert_eq!(time(i64::MAX), LAST);
        assert!(is_held(Time::from_sec(FIRST)) && !is_held(Time::from_sec(FIRST - 1)));
    }
}
