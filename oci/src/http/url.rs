//! Absolute URLs, and what a reference means relative to one (RFC 3986, section 5.2).
//!
//! What a server sends back is kept as it is, byte for byte: the state of an upload and the
//! signature of a redirect stand in a query that nobody may normalise.

use std::fmt;

use super::Error;

/// Who speaks: scheme, host and port. Credentials belong to one origin and never leave it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    secure: bool,
    /// In lower case; an IPv6 address stands in brackets.
    host: String,
    port: u16,
}

impl Origin {
    /// Returns the host in lower case, an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Tells whether it speaks TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    fn default_port(secure: bool) -> u16 {
        if secure { 443 } else { 80 }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)?;
        match self.port {
            port if port == Self::default_port(self.secure) => Ok(()),
            port => write!(f, ":{port}"),
        }
    }
}

/// An absolute `http` or `https` URL without user name and fragment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    origin: Origin,
    /// Path and query, as they were given; starts with `/`.
    target: String,
}

impl Url {
    /// Reads an absolute URL.
    ///
    /// # Errors
    /// [`Error::Url`] when it is none, has another scheme, or carries a user name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refused = |reason| Error::Url {
            url: without_query(text).to_owned(),
            reason,
        };
        if text.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(refused("it holds a character that must be percent-encoded"));
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| refused("it has no scheme"))?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(refused("its scheme is neither http nor https")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err(Error::Url {
                url: format!("{scheme}://…"),
                reason: "it carries a user name",
            });
        }
        let (host, port) = host_and_port(authority).ok_or_else(|| refused("its host is none"))?;
        Ok(Self {
            origin: Origin {
                secure,
                host: host.to_ascii_lowercase(),
                port: port.unwrap_or(Origin::default_port(secure)),
            },
            target: match target.starts_with('/') {
                true => target.to_owned(),
                false => format!("/{target}"),
            },
        })
    }

    /// Returns what a reference that came with this URL's answer stands for.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn join(&self, reference: &str) -> Result<Self, Error> {
        let scheme = reference.split(['/', '?', '#']).next().unwrap_or_default();
        if scheme.contains(':') {
            return Self::parse(reference);
        }
        let base = without_query(&self.target);
        let absolute = match reference.as_bytes() {
            [b'/', b'/', ..] => {
                let scheme = if self.origin.secure { "https" } else { "http" };
                return Self::parse(&format!("{scheme}:{reference}"));
            }
            [] | [b'#', ..] => self.target.clone(),
            [b'/', ..] => reference.to_owned(),
            [b'?', ..] => format!("{base}{reference}"),
            _ => merged(base, reference),
        };
        Self::parse(&format!("{}{absolute}", self.origin))
    }

    /// Returns the URL with a parameter added to what its query has already.
    #[must_use]
    pub fn with_parameter(&self, name: &str, value: &str) -> Self {
        let sign = if self.target.contains('?') { '&' } else { '?' };
        Self {
            origin: self.origin.clone(),
            target: format!("{}{sign}{name}={}", self.target, percent_encoded(value)),
        }
    }

    /// Returns who answers under this URL.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        without_query(&self.target)
    }

    /// Returns the whole URL, query included, for the wire.
    pub(super) fn whole(&self) -> String {
        format!("{}{}", self.origin, self.target)
    }
}

/// Without the query: it may hold a signature or the state of an upload.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

/// Spells a text so that it is one value in a query or a form.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn without_query(text: &str) -> &str {
    text.split(['?', '#']).next().unwrap_or_default()
}

/// Merges a relative path with the path it is relative to, and resolves `.` and `..`.
fn merged(base: &str, reference: &str) -> String {
    let end = reference.find(['?', '#']).unwrap_or(reference.len());
    let (path, query) = reference.split_at(end);
    let folder = base.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut segments: Vec<&str> = folder.split('/').skip(1).collect();
    let mut closed = false;
    for segment in path.split('/') {
        closed = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let end = if closed { "/" } else { "" };
    format!("/{}{end}{query}", segments.join("/"))
}

/// Splits an authority into its host, brackets included, and its port.
pub(super) fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            let host = authority.strip_suffix(after)?;
            (
                host,
                if after.is_empty() {
                    None
                } else {
                    Some(after.strip_prefix(':')?)
                },
            )
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let bracketed = host.starts_with('[');
    if host.is_empty() || !(bracketed || host.bytes().all(named)) {
        return None;
    }
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port {
        // Nothing behind the colon is the default port.
        None | Some("") => Some((host, None)),
        Some(port) if digits(port) => Some((host, Some(port.parse().ok()?))),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn an_url_comes_back_as_it_was_but_for_its_default_port_and_fragment() {
        for text in [
            "https://ghcr.io/v2/",
            "http://localhost:5000/v2/a/blobs/uploads/1?_state=a%2Fb==&x",
            "https://[::1]:5000/v2/",
        ] {
            assert_eq!(url(text).whole(), text);
        }
        assert_eq!(url("HTTPS://GHCR.io:443?a#b").whole(), "https://ghcr.io/?a");
    }

    #[test]
    fn what_is_no_absolute_url_is_refused() {
        for text in [
            "/v2/",
            "ftp://a/",
            "https:///a",
            "https://a b/",
            "https://a:x/",
            "https://a:65536/",
            "https://[::1/",
            "https://user:secret@a/",
            "https://a/\u{e4}",
            "https://a:+1/",
        ] {
            let error = Url::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn references_are_resolved_as_the_standard_says() {
        let base = url("https://r.io/v2/a/blobs/uploads/1?_state=s");
        for (reference, expected) in [
            ("http://other.io:80/x?y=z", "http://other.io/x?y=z"),
            ("//cdn.io/x", "https://cdn.io/x"),
            ("/v2/b?c=%2f%41", "https://r.io/v2/b?c=%2f%41"),
            ("?n=2", "https://r.io/v2/a/blobs/uploads/1?n=2"),
            ("2?x=a:b", "https://r.io/v2/a/blobs/uploads/2?x=a:b"),
            ("../up", "https://r.io/v2/a/blobs/up"),
            ("./", "https://r.io/v2/a/blobs/uploads/"),
            ("..", "https://r.io/v2/a/blobs/"),
            ("../../../../../../etc", "https://r.io/etc"),
            ("", "https://r.io/v2/a/blobs/uploads/1?_state=s"),
        ] {
            assert_eq!(
                base.join(reference).unwrap().whole(),
                expected,
                "{reference}"
            );
        }
    }

    #[test]
    fn a_parameter_joins_the_query_that_is_there() {
        let parameter = |text| url(text).with_parameter("digest", "sha256:ab").whole();
        assert_eq!(parameter("http://a/u"), "http://a/u?digest=sha256%3Aab");
        assert_eq!(
            parameter("http://a/u?s=1"),
            "http://a/u?s=1&digest=sha256%3Aab"
        );
    }

    #[test]
    fn neither_display_nor_debug_shows_the_query() {
        let url = url("https://s3/bucket/blob?X-Amz-Signature=secret");
        assert!(!format!("{url} {url:?}").contains("secret"));
    }
}
