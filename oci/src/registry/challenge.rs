//! `WWW-Authenticate`: what a server wants to see (RFC 9110, section 11.6.1).

/// What a server wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// Name and password.
    Basic,
    /// A token of a service.
    Bearer {
        /// The service's URL.
        realm: String,
        /// What it calls the registry.
        service: Option<String>,
        /// What the token shall allow.
        scope: Option<String>,
        /// What is wrong with the token that was shown.
        error: Option<String>,
    },
}

impl Challenge {
    /// Reads the challenges of all headers of an answer; a token is preferred to a password.
    #[must_use]
    pub fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut basic = None;
        for (scheme, parameters) in headers.flat_map(challenges) {
            let value = |name: &str| {
                let found = parameters
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.clone())
            };
            if scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = value("realm")
            {
                return Some(Self::Bearer {
                    realm,
                    service: value("service"),
                    scope: value("scope"),
                    error: value("error_description").or_else(|| value("error")),
                });
            }
            if scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Self::Basic);
            }
        }
        basic
    }
}

/// A scheme and its parameters.
type Parsed = (String, Vec<(String, String)>);

/// Parts a header into challenges: a word without `=` behind it begins one.
fn challenges(header: &str) -> Vec<Parsed> {
    let mut found: Vec<Parsed> = Vec::new();
    let mut rest = header.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let behind = after.trim_start();
        rest = match behind.strip_prefix('=') {
            Some(value) if !word.is_empty() => {
                let (value, rest) = parameter(value.trim_start());
                if let Some((_, parameters)) = found.last_mut() {
                    parameters.push((word.to_owned(), value));
                }
                rest
            }
            // A stray sign: nothing is made of it.
            Some(rest) => rest,
            None => {
                if !word.is_empty() {
                    found.push((word.to_owned(), Vec::new()));
                }
                behind
            }
        };
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    found
}

/// Takes a value, quoted or not, off the front.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => value.extend(letters.next()),
            letter => value.push(letter),
        }
    }
    (value, letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(header: &str) -> Option<Challenge> {
        Challenge::choose([header].into_iter())
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: realm.into(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
            error: None,
        })
    }

    #[test]
    fn what_registries_send_is_read() {
        assert_eq!(
            choose(
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#
            ),
            bearer(
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                Some("repository:a/b:pull,push")
            )
        );
        assert_eq!(
            choose(r#"Basic realm="Registry Realm""#),
            Some(Challenge::Basic)
        );
        assert_eq!(
            choose("bearer realm=https://x/y , service = z"),
            bearer("https://x/y", Some("z"), None)
        );
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let header = r#"Basic realm="x, y=z", Bearer realm="https://t""#;
        assert_eq!(choose(header), bearer("https://t", None, None));
        let two = ["Basic realm=x", "Bearer realm=https://t"];
        assert_eq!(
            Challenge::choose(two.into_iter()),
            bearer("https://t", None, None)
        );
    }

    #[test]
    fn quotes_are_undone_and_what_is_odd_is_passed_over() {
        assert_eq!(
            choose(r#"Bearer realm="a\"b\\c""#),
            bearer("a\"b\\c", None, None)
        );
        for odd in [
            "",
            "Negotiate",
            "Bearer",
            "=",
            "===,,,",
            "Bearer service=x",
            "\"",
            "a==b,=\"c",
        ] {
            assert_eq!(choose(odd), None, "{odd}");
        }
        assert_eq!(choose("Bearer realm=\"open"), bearer("open", None, None));
    }
}
