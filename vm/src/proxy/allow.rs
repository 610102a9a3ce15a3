//! Which hosts a guest may reach.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// One allowed host: `HOST`, `*.DOMAIN` (all below it) or `*`, each with or without `:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Any,
    Below(String),
    Exactly(String),
}

/// A pattern that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected HOST, *.DOMAIN or *, and perhaps :PORT, not {0:?}")]
pub struct PatternError(String);

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let wrong = || PatternError(text.to_owned());
        let (typed, port) = split(text).ok_or_else(wrong)?;
        let host = normal(typed);
        let plain = |name: &str| !name.is_empty() && !name.contains(['*', '/', ' ', '@']);
        let host = match host.strip_prefix("*.") {
            // `*.` is no short form of everything.
            _ if typed == "*" => Host::Any,
            Some(domain) if plain(domain) => Host::Below(domain.to_owned()),
            None if plain(&host) => Host::Exactly(host),
            _ => return Err(wrong()),
        };
        Ok(Self { host, port })
    }
}

impl Pattern {
    /// Tells whether a host and port fit.
    fn fits(&self, host: &str, port: u16) -> bool {
        let host = normal(host);
        let named = match &self.host {
            Host::Any => true,
            Host::Exactly(name) => *name == host,
            Host::Below(domain) => host
                .strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        };
        named && self.port.is_none_or(|wanted| wanted == port)
    }

    fn is_exact(&self) -> bool {
        matches!(self.host, Host::Exactly(_))
    }
}

/// Tells whether the patterns allow a host; no patterns allow all.
pub(super) fn allows(patterns: &[Pattern], host: &str, port: u16) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.fits(host, port))
}

/// Tells whether a pattern names this very host, so that it may lie on the host itself.
pub(super) fn names(patterns: &[Pattern], host: &str, port: u16) -> bool {
    let mut exact = patterns.iter().filter(|pattern| pattern.is_exact());
    exact.any(|pattern| pattern.fits(host, port))
}

/// Tells whether an address is the host's own, or reaches only those beside it.
pub(super) fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_multicast()
                // The whole of 0.0.0.0/8 is "this host".
                || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => is_local(v4),
            None => {
                v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_multicast()
                    || v6.is_unicast_link_local()
            }
        },
    }
}

/// Returns the IPv4 address that an IPv6 address stands for: mapped, NAT64 or 6to4.
fn embedded(v6: Ipv6Addr) -> Option<IpAddr> {
    if let Some(v4) = v6.to_ipv4_mapped() {
        return Some(v4.into());
    }
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let [.., o, p, q, r] = v6.octets();
    match [a, b, c, d, e, f, g, h] {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some([o, p, q, r].into()),
        [0x2002, ..] => {
            let [high, low] = [b.to_be_bytes(), c.to_be_bytes()];
            Some([high[0], high[1], low[0], low[1]].into())
        }
        _ => None,
    }
}

/// Splits `HOST[:PORT]`, with brackets around an IPv6 address.
pub(super) fn split(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            match rest {
                "" => (host, None),
                rest => (host, Some(rest.strip_prefix(':')?)),
            }
        }
        None if text.matches(':').count() > 1 => (text, None),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let digits = |port: &str| {
        let plain = port.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| port.parse().ok()).flatten()
    };
    match port {
        Some(port) => Some((host, Some(digits(port).filter(|port| *port != 0)?))),
        None => Some((host, None)),
    }
}

fn normal(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn patterns_allow_what_they_say() {
        let below = pattern("*.debian.org");
        assert!(below.fits("deb.Debian.org.", 80));
        assert!(!below.fits("debian.org", 80));
        assert!(!below.fits("evildebian.org", 80));
        assert!(!below.fits("deb.debian.org.evil.com", 80));
        assert!(pattern("deb.debian.org:80").fits("deb.debian.org", 80));
        assert!(!pattern("deb.debian.org:80").fits("deb.debian.org", 443));
        assert!(pattern("[::1]:8080").fits("::1", 8080));
        assert!(allows(&[], "anything", 1) && allows(&[pattern("*")], "anything", 1));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "", "*.", "a*b", "http://a", "a:", "a:0", "a:99999", "a:+1", "u@a",
        ] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_hosts_own_addresses_are_known_in_every_dress() {
        for text in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ] {
            assert!(is_local(text.parse().unwrap()), "{text}");
        }
        for text in ["10.0.0.1", "151.101.2.132", "2a04:4e42::644"] {
            assert!(!is_local(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn only_an_exact_name_opens_the_host_itself() {
        let patterns = [pattern("*"), pattern("localhost:8080")];
        assert!(names(&patterns, "LOCALHOST", 8080));
        assert!(!names(&patterns, "localhost", 80));
        assert!(!names(&patterns, "127.0.0.1", 8080));
    }
}
