//! Which hosts are this machine.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Tells whether a host, as it stands in an URL, is this machine: `localhost`, 127.0.0.0/8 or
/// `[::1]`, exactly. A name that merely begins like one is some other machine's.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
        || bare
            .parse::<Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_and_addresses_are_loopback() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.10", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.example.com",
            "localhost.",
            "127.0.0.1.nip.io",
            "127.1",
            "[::2]",
            "",
            "0.0.0.0",
            "[::ffff:127.0.0.1]",
            "128.0.0.1",
            "notlocalhost",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
