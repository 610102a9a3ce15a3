//! When a request is made again, and how long after.

use std::time::Duration;

use super::Error;

/// How often and how patiently a request is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// How often a request is made at most, the first time included.
    pub attempts: u32,
    /// The wait before the second attempt; each further one is twice as long.
    pub first: Duration,
    /// The longest wait, also where a server asks for more.
    pub longest: Duration,
}

impl Default for Schedule {
    /// Six attempts within 15.5 seconds; a server may ask for up to a minute between two.
    fn default() -> Self {
        Self {
            attempts: 6,
            first: Duration::from_millis(500),
            longest: Duration::from_secs(60),
        }
    }
}

impl Schedule {
    /// Checks that the values make sense together.
    ///
    /// # Errors
    /// [`Error::Option`].
    pub fn validate(&self) -> Result<(), Error> {
        let reason = match () {
            () if self.attempts == 0 => "no attempt leads nowhere",
            () if self.attempts > 100 => "more than 100 attempts are a nuisance to a server",
            () if self.first > self.longest => "the first wait is longer than the longest",
            () => return Ok(()),
        };
        Err(Error::Option {
            option: "schedule",
            reason,
        })
    }

    /// Returns the wait after the attempt of this number (from 1), or none where it was the last
    /// one, or where the server asks for more patience than there is.
    #[must_use]
    pub fn wait(&self, attempt: u32, asked: Option<Duration>) -> Option<Duration> {
        if attempt >= self.attempts || asked.is_some_and(|asked| asked > self.longest) {
            return None;
        }
        let doubled = 2_u32.checked_pow(attempt.saturating_sub(1));
        let own = doubled.and_then(|factor| self.first.checked_mul(factor));
        let own = own.unwrap_or(self.longest).min(self.longest);
        Some(own.max(asked.unwrap_or_default()))
    }
}

/// Tells whether a server that answers so may well answer otherwise in a moment.
#[must_use]
pub fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// Reads a `Retry-After` header: seconds, or a date to be compared with `now` in seconds since
/// 1970.
pub(super) fn retry_after(value: &str, now: u64) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than fit are for ever.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    Some(Duration::from_secs(http_date(value)?.saturating_sub(now)))
}

/// Reads a date like `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7), in seconds since
/// 1970. The two obsolete forms are not read.
fn http_date(value: &str) -> Option<u64> {
    let (_, rest) = value.split_once(", ")?;
    let mut words = rest.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let name = words.next()?;
    let month = u64::try_from(months.iter().position(|month| *month == name)?).ok()?;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(str::parse::<u64>);
    let (hour, minute, second) = (
        clock.next()?.ok()?,
        clock.next()?.ok()?,
        clock.next()?.ok()?,
    );
    let sane = (1970..=9999).contains(&year) && (1..=31).contains(&day);
    if !sane || hour > 23 || minute > 59 || second > 60 || words.next()? != "GMT" {
        return None;
    }
    // Years that begin in March have the leap day at their end.
    let (year, month) = match month {
        0 | 1 => (year.checked_sub(1)?, month + 10),
        _ => (year, month - 2),
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    // Day 719,469 in this count is 1970-01-01.
    Some(days.checked_sub(719_469)? * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let schedule = Schedule {
            attempts: 6,
            first: seconds(1),
            longest: seconds(5),
        };
        let waits: Vec<_> = (1..=6)
            .map(|attempt| schedule.wait(attempt, None))
            .collect();
        let expected = [1, 2, 4, 5, 5].map(|count| Some(seconds(count)));
        assert_eq!(waits[..5], expected);
        assert_eq!(waits[5], None);
        schedule.validate().unwrap();
    }

    #[test]
    fn a_server_may_ask_for_patience_within_bounds() {
        let schedule = Schedule::default();
        assert_eq!(schedule.wait(1, Some(seconds(7))), Some(seconds(7)));
        assert_eq!(schedule.wait(4, Some(seconds(1))), Some(seconds(4)));
        assert_eq!(schedule.wait(1, Some(seconds(3600))), None);
    }

    #[test]
    fn attempts_without_end_do_not_overflow() {
        let schedule = Schedule {
            attempts: 100,
            ..Schedule::default()
        };
        assert_eq!(schedule.wait(99, None), Some(schedule.longest));
        assert!(
            Schedule {
                attempts: 0,
                ..schedule
            }
            .validate()
            .is_err()
        );
    }

    #[test]
    fn seconds_and_dates_are_read() {
        assert_eq!(retry_after("120", 0), Some(seconds(120)));
        assert_eq!(
            retry_after("99999999999999999999999", 0),
            Some(seconds(u64::MAX))
        );
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(retry_after(date, 784_111_770), Some(seconds(7)));
        assert_eq!(retry_after(date, 1_784_111_770), Some(seconds(0)));
        assert_eq!(
            retry_after("Thu, 01 Jan 1970 00:00:05 GMT", 0),
            Some(seconds(5))
        );
        assert_eq!(
            retry_after("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_399),
            Some(seconds(1))
        );
        for bad in [
            "",
            "soon",
            "-1",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 0 Jan 1970 1:1:1 GMT",
        ] {
            assert_eq!(retry_after(bad, 0), None, "{bad}");
        }
    }

    #[test]
    fn a_refusal_is_not_transient() {
        assert!([408, 429, 500, 502, 503, 504].into_iter().all(is_transient));
        assert!(
            ![200, 301, 400, 401, 403, 404, 416, 501]
                .into_iter()
                .any(is_transient)
        );
    }
}
