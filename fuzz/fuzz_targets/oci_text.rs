//! Texts that come from servers and from files of users: URLs and what is relative to them, challenges of registries,
//! files of credentials, catalogs.
//!
//! Oracle: reading ends, without a panic. An URL that is accepted is accepted again as it is written; what is relative to
//! one on the same host stays there unless it names another, and a catalog from the network never leads to a file of this
//! machine. A challenge means the same when it is written with quotes. What is set in a file of credentials is found, what
//! is removed is not, and no message shows a secret. A catalog is read as it is written, and the names that it gives to
//! files are single, plain names.
#![no_main]

use forger::catalog::{Catalog, Location, is_name};
use forger_oci::http::{Secret, Url};
use forger_oci::registry::{Challenge, ConfigFile, Credentials, Entry, parse_auth_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&kind, bytes)) = input.split_first() else {
        return;
    };
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    match kind % 4 {
        0 => urls(text),
        1 => challenges(text),
        2 => credentials(bytes),
        _ => catalogs(bytes, text),
    }
});

fn urls(text: &str) {
    if let Ok(url) = Url::parse(text) {
        let again = Url::parse(&url.to_string()).expect("it was accepted");
        assert_eq!(again.to_string(), url.to_string());
        assert_eq!(url.origin().host(), url.origin().host().to_lowercase());
    }
    let base = Url::parse("https://host.example:5000/a/b?c=d").expect("it is one");
    if let Ok(joined) = base.join(text) {
        assert!(joined.path().starts_with('/'));
        let named = text.contains("//")
            || text
                .split(['/', '?', '#'])
                .next()
                .is_some_and(|scheme| scheme.contains(':'));
        assert!(named || joined.origin() == base.origin(), "{joined}");
    }
}

fn challenges(text: &str) {
    let Some(challenge) = Challenge::choose(text.lines()) else {
        return;
    };
    let written = match &challenge {
        Challenge::Basic => "Basic realm=\"x\"".to_owned(),
        Challenge::Bearer {
            realm,
            service,
            scope,
            error,
        } => {
            let quoted =
                |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            let mut written = format!("Bearer realm={}", quoted(realm));
            for (name, value) in [("service", service), ("scope", scope), ("error", error)] {
                if let Some(value) = value {
                    written.push_str(&format!(",{name}={}", quoted(value)));
                }
            }
            written
        }
    };
    assert_eq!(
        Challenge::choose([&written[..]].into_iter()),
        Some(challenge)
    );
}

/// A secret that no input holds by chance.
const SECRET: &str = "hunter2:hunter2";

fn credentials(bytes: &[u8]) {
    let (host, repository) = ("registry.example:5000", "team/app");
    let _ = parse_auth_file("auth.json", bytes);
    let Ok(mut file) = ConfigFile::parse("config.json", bytes) else {
        return;
    };
    for host in [host, "docker.io"] {
        let _ = file.lookup(host, repository);
    }
    let before = file.lookup(host, "other");
    file.set(host, "ann", &Secret::new(SECRET));
    assert!(!format!("{file:?}").contains(SECRET));
    let mut again = ConfigFile::parse("config.json", &file.to_bytes()).expect("it was written");
    // A helper comes before it, and so does an entry for the repository.
    if matches!(before, Ok(Entry::Nothing)) {
        let set = Entry::Known(Credentials::Basic {
            username: "ann".to_owned(),
            password: Secret::new(SECRET),
        });
        assert_eq!(again.lookup(host, "other").ok(), Some(set));
    }
    assert!(again.remove(host));
    assert!(!again.remove(host));
}

fn catalogs(bytes: &[u8], text: &str) {
    if let Ok(catalog) = Catalog::parse("catalog.json", bytes) {
        let again = Catalog::parse("written", &catalog.to_bytes()).expect("it was accepted");
        assert_eq!(again, catalog);
        for entry in &catalog.entries {
            assert!(is_name(&entry.name) && entry.sha256().is_some());
            let name = entry.file_name();
            assert!(!name.contains('/') && !name.starts_with('.'), "{name}");
            leads_to_no_file(&entry.tarball_url);
        }
    }
    leads_to_no_file(text);
}

fn leads_to_no_file(text: &str) {
    for catalog in [
        "https://host.example/catalog.json",
        "oci://host.example/catalog:1",
    ] {
        let place = Location::parse(catalog).expect("it is one");
        assert!(!matches!(place.join(text), Ok(Location::File(_))), "{text}");
    }
}
