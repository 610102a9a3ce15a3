//! Which proxy stands between here and a host, in the terms of the usual variables.

use std::fmt;
use std::net::IpAddr;

use super::url::host_and_port;
use super::{Origin, is_loopback};

/// What `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
///
/// Loopback hosts are never reached through a proxy.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// The proxy for plain HTTP, as an URL.
    pub http: Option<String>,
    /// The proxy for HTTPS, as an URL.
    pub https: Option<String>,
    /// The proxy for what has no other, as an URL; also `socks5://`.
    pub all: Option<String>,
    /// The hosts that are reached directly, with commas between them: `*`, a domain (with all below
    /// it), `.domain` (only what is below it), an address, a network `10.0.0.0/8`; each but a
    /// network may name a port.
    pub none: String,
}

/// A proxy's URL may hold a password.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("all", &self.all.is_some())
            .field("none", &self.none)
            .finish()
    }
}

impl Proxies {
    /// Returns the URL of the proxy that leads to an origin, or none where it is reached directly.
    pub(super) fn to(&self, origin: &Origin) -> Option<&str> {
        let own = if origin.is_secure() {
            &self.https
        } else {
            &self.http
        };
        let proxy = own.as_ref().or(self.all.as_ref())?;
        let direct = is_loopback(origin.host()) || self.exempts(origin);
        (!direct).then_some(proxy)
    }

    fn exempts(&self, origin: &Origin) -> bool {
        self.none
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .any(|entry| matches(entry, origin))
    }
}

/// Tells whether an entry of `NO_PROXY` means an origin.
fn matches(entry: &str, origin: &Origin) -> bool {
    let bare = origin.host().trim_start_matches('[').trim_end_matches(']');
    let address: Option<IpAddr> = bare.parse().ok();
    if entry == "*" {
        return true;
    }
    if let Some((network, length)) = entry.split_once('/') {
        return match (network.parse(), length.parse(), address) {
            (Ok(network), Ok(length), Some(address)) => within(address, network, length),
            _ => false,
        };
    }
    if let (Ok(named), Some(address)) = (entry.parse::<IpAddr>(), address) {
        return named == address;
    }
    let (pattern, below_only) = match entry.strip_prefix("*.").or(entry.strip_prefix('.')) {
        Some(rest) => (rest, true),
        None => (entry, false),
    };
    let Some((host, port)) = host_and_port(pattern) else {
        return false;
    };
    if port.is_some_and(|port| port != origin.port()) {
        return false;
    }
    let host = host.to_ascii_lowercase();
    let below = origin
        .host()
        .strip_suffix(&host)
        .is_some_and(|front| front.ends_with('.'));
    below || !below_only && origin.host() == host
}

/// Tells whether an address lies in a network whose first `length` bits are given.
fn within(address: IpAddr, network: IpAddr, length: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if length <= 32 => {
            let mask = u32::MAX
                .checked_shl(32_u32.saturating_sub(length))
                .unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if length <= 128 => {
            let mask = u128::MAX
                .checked_shl(128_u32.saturating_sub(length))
                .unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Url;
    use super::*;

    fn proxies(none: &str) -> Proxies {
        Proxies {
            http: Some("http://plain:3128".into()),
            https: Some("http://user:secret@secure:3128".into()),
            all: None,
            none: none.into(),
        }
    }

    fn direct(none: &str, url: &str) -> bool {
        let url = Url::parse(url).unwrap();
        proxies(none).to(url.origin()).is_none()
    }

    #[test]
    fn each_scheme_has_its_proxy_and_loopback_none() {
        let to = |url: &str| {
            let url = Url::parse(url).unwrap();
            proxies("").to(url.origin()).map(str::to_owned)
        };
        assert_eq!(to("http://ghcr.io/").as_deref(), Some("http://plain:3128"));
        assert!(to("https://ghcr.io/").unwrap().ends_with("secure:3128"));
        assert_eq!(to("http://localhost:5000/"), None);
        assert_eq!(to("https://[::1]/"), None);
    }

    #[test]
    fn the_general_proxy_serves_what_has_no_other() {
        let proxies = Proxies {
            all: Some("socks5://gate".into()),
            ..Proxies::default()
        };
        let url = Url::parse("https://ghcr.io/").unwrap();
        assert_eq!(proxies.to(url.origin()), Some("socks5://gate"));
    }

    #[test]
    fn exempt_hosts_are_told_as_everywhere() {
        for (none, url) in [
            ("*", "https://a/"),
            ("ghcr.io", "https://ghcr.io/"),
            ("io", "https://ghcr.io/"),
            ("x, Ghcr.IO:443", "https://ghcr.io/"),
            (".ghcr.io", "https://a.ghcr.io/"),
            ("*.ghcr.io", "https://a.ghcr.io/"),
            ("10.0.0.0/8", "https://10.9.8.7:5000/"),
            ("0.0.0.0/0", "https://10.9.8.7:5000/"),
            ("fe80::/10", "https://[fe80::1]/"),
            ("10.1.2.3", "https://10.1.2.3/"),
        ] {
            assert!(direct(none, url), "{none} {url}");
        }
        for (none, url) in [
            ("", "https://a/"),
            ("cr.io", "https://ghcr.io/"),
            (".ghcr.io", "https://ghcr.io/"),
            ("ghcr.io:80", "https://ghcr.io/"),
            ("10.0.0.0/8", "https://11.0.0.1/"),
            ("10.0.0.0/33", "https://10.0.0.1/"),
            ("10.0.0.0/8", "https://ghcr.io/"),
        ] {
            assert!(!direct(none, url), "{none} {url}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        assert!(!format!("{:?}", proxies("")).contains("secret"));
    }
}
