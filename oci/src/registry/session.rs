//! An upload under way: where the next bytes go, and how many there are already.

use super::Error;
use crate::http::{Response, Url};

/// An upload under way.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Where the next request goes.
    pub(super) url: Url,
    /// The shortest chunk that the registry takes, in bytes.
    pub(super) least: u64,
}

impl Session {
    /// Reads where an upload that just began goes.
    pub(super) fn begun(response: &Response) -> Result<Self, Error> {
        let Some(location) = response.header("location") else {
            return Err(Error::Protocol {
                url: response.url().to_string(),
                reason: "an upload begins without a Location".to_owned(),
            });
        };
        let least = response.header("oci-chunk-min-length");
        Ok(Self {
            url: response.url().join(location)?,
            least: least
                .and_then(|value| value.trim().parse().ok())
                .unwrap_or(0),
        })
    }

    /// Goes where an answer says; stays where it says nothing.
    pub(super) fn follow(&mut self, response: &Response) -> Result<(), Error> {
        if let Some(location) = response.header("location") {
            self.url = response.url().join(location)?;
        }
        Ok(())
    }

    /// Returns the URL that ends the upload.
    pub(super) fn end(&self, digest: &str) -> Url {
        self.url.with_parameter("digest", digest)
    }
}

/// Reads how many bytes a registry has from `Range: 0-LAST`, where `expected` is what it should
/// have. None where the header is missing or is something else.
///
/// `0-0` is what docker's registry says of no bytes, and what the specification says of one.
pub(super) fn received(range: Option<&str>, expected: u64) -> Option<u64> {
    let range = range?.trim();
    let range = range
        .strip_prefix("bytes")
        .map_or(range, |rest| rest.trim_start_matches(['=', ' ']));
    let (first, last) = range.split_once('-')?;
    let last: u64 = last.split('/').next()?.trim().parse().ok()?;
    match (first.trim(), last) {
        ("0", 0) if expected != 1 => Some(0),
        ("0", last) => last.checked_add(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_say_how_much_is_there() {
        for (range, expected, count) in [
            ("0-4194303", 4_194_304, Some(4_194_304)),
            ("bytes=0-9", 20, Some(10)),
            ("bytes 0-9/20", 20, Some(10)),
            ("0-0", 1, Some(1)),
            ("0-0", 100, Some(0)),
            ("5-9", 10, None),
            ("0-18446744073709551615", 1, None),
            ("", 1, None),
            ("0-x", 1, None),
        ] {
            assert_eq!(received(Some(range), expected), count, "{range}");
        }
        assert_eq!(received(None, 1), None);
    }
}
