//! Docker's and podman's files of credentials (`~/.docker/config.json`, `auth.json`), read and changed.
//!
//! ```json
//! {"auths": {"ghcr.io": {"auth": "base64 of name:password"}},
//!  "credHelpers": {"gcr.io": "gcloud"}, "credsStore": "secretservice"}
//! ```
//!
//! What forger does not know stays in a file that it changes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Credentials, Error};
use crate::DEFAULT_HOST;
use crate::http::Secret;

/// What Docker Hub is called in these files, by whoever wrote them.
const HUB: [&str; 4] = [
    "index.docker.io",
    "docker.io",
    "registry-1.docker.io",
    "index.docker.io/v1",
];

/// What a file says about a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The credentials themselves.
    Known(Credentials),
    /// A helper knows them: `docker-credential-NAME` is asked for `server`.
    Helper {
        /// The helper's name.
        name: String,
        /// What it calls the registry.
        server: String,
    },
    /// Nothing.
    Nothing,
}

/// A file of credentials.
#[derive(Clone)]
pub struct ConfigFile {
    file: String,
    root: Map<String, Value>,
}

/// Shows no entry: they are secrets.
impl std::fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConfigFile({})", self.file)
    }
}

impl ConfigFile {
    /// Begins a file that has nothing; `file` is its name in errors.
    #[must_use]
    pub fn empty(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            root: Map::new(),
        }
    }

    /// Reads a file; an empty one has nothing.
    ///
    /// # Errors
    /// [`Error::Credentials`] when it is no JSON object.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Error> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::empty(file));
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(root)) => Ok(Self {
                file: file.to_owned(),
                root,
            }),
            Ok(_) => Err(fault(file, "it is no JSON object")),
            // The reason would quote what it stumbled over.
            Err(error) => Err(fault(
                file,
                &format!(
                    "it is no JSON (line {}, column {})",
                    error.line(),
                    error.column()
                ),
            )),
        }
    }

    /// Returns what the file says about a repository: a helper for its registry, then the longest of
    /// `host/path`, `host`, then the helper for all.
    ///
    /// # Errors
    /// [`Error::Credentials`] for an entry that cannot be understood.
    pub fn lookup(&self, host: &str, repository: &str) -> Result<Entry, Error> {
        let server = server(host);
        let helper = |name: &str| Entry::Helper {
            name: name.to_owned(),
            server: server.to_owned(),
        };
        let own = self.section("credHelpers").into_iter().flatten();
        for (key, value) in own {
            if is_same(key, host)
                && let Some(name) = value.as_str()
            {
                return Ok(helper(name));
            }
        }
        let mut name = format!("{host}/{repository}");
        loop {
            for (key, value) in self.section("auths").into_iter().flatten() {
                if is_same(key, &name)
                    && let Some(credentials) = self.credentials(key, value)?
                {
                    return Ok(Entry::Known(credentials));
                }
            }
            match name.rfind('/') {
                Some(end) => name.truncate(end),
                None => break,
            }
        }
        let all = self.root.get("credsStore").and_then(Value::as_str);
        Ok(all
            .filter(|name| !name.is_empty())
            .map_or(Entry::Nothing, helper))
    }

    /// Returns the helper that keeps the credentials of a registry, and what it calls the registry.
    #[must_use]
    pub fn helper(&self, host: &str) -> Option<(String, String)> {
        let own = self.section("credHelpers").into_iter().flatten();
        let own = own
            .filter(|(key, _)| is_same(key, host))
            .map(|(_, name)| name);
        let name = own
            .chain(self.root.get("credsStore"))
            .find_map(Value::as_str)?;
        let name = Some(name).filter(|name| !name.is_empty())?;
        Some((name.to_owned(), server(host).to_owned()))
    }

    /// Keeps a name and a password.
    pub fn set(&mut self, host: &str, username: &str, password: &Secret) {
        let pair = STANDARD.encode(format!("{username}:{}", password.reveal()));
        self.remove(host);
        let auths = self.root.entry("auths").or_insert_with(|| json!({}));
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(server(host).to_owned(), json!({ "auth": pair }));
        } else {
            *auths = json!({ server(host): { "auth": pair } });
        }
    }

    /// Forgets a registry; false where it was not known.
    pub fn remove(&mut self, host: &str) -> bool {
        let Some(Value::Object(auths)) = self.root.get_mut("auths") else {
            return false;
        };
        let count = auths.len();
        auths.retain(|key, _| !is_same(key, host));
        auths.len() < count
    }

    /// Returns the file's new content.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        format!("{:#}\n", Value::Object(self.root.clone())).into_bytes()
    }

    fn section(&self, name: &str) -> Option<&Map<String, Value>> {
        self.root.get(name)?.as_object()
    }

    fn credentials(&self, key: &str, entry: &Value) -> Result<Option<Credentials>, Error> {
        let what = format!("{} ({key})", self.file);
        entry_credentials(&what, entry)
    }
}

/// Reads a file for one registry, as `--auth-file` names it: `{"username", "password"}`,
/// `{"token"}`, or a docker or podman file.
///
/// # Errors
/// [`Error::Credentials`].
pub fn parse_auth_file(file: &str, bytes: &[u8]) -> Result<Result<Credentials, ConfigFile>, Error> {
    let config = ConfigFile::parse(file, bytes)?;
    let entry = Value::Object(config.root.clone());
    if let Some(token) = text(&entry, "token") {
        return Ok(Ok(Credentials::Bearer(Secret::new(token))));
    }
    if let Some(credentials) = entry_credentials(file, &entry)? {
        return Ok(Ok(credentials));
    }
    let known = ["auths", "credHelpers", "credsStore"];
    match known
        .iter()
        .any(|section| config.root.contains_key(*section))
    {
        true => Ok(Err(config)),
        false => Err(fault(
            file,
            "it has neither \"username\" and \"password\" nor \"token\" nor \"auths\"",
        )),
    }
}

fn text<'a>(entry: &'a Value, field: &str) -> Option<&'a str> {
    entry.get(field)?.as_str().filter(|text| !text.is_empty())
}

fn entry_credentials(what: &str, entry: &Value) -> Result<Option<Credentials>, Error> {
    if let Some(token) = text(entry, "identitytoken") {
        return Ok(Some(Credentials::Identity(Secret::new(token))));
    }
    if let Some(token) = text(entry, "registrytoken") {
        return Ok(Some(Credentials::Bearer(Secret::new(token))));
    }
    let basic = |username: &str, password: &str| Credentials::Basic {
        username: username.to_owned(),
        password: Secret::new(password),
    };
    if let (Some(username), Some(password)) = (text(entry, "username"), text(entry, "password")) {
        return Ok(Some(basic(username, password)));
    }
    let Some(auth) = text(entry, "auth") else {
        return Ok(None);
    };
    let pair = STANDARD.decode(auth.trim()).ok();
    let pair = pair.and_then(|pair| String::from_utf8(pair).ok());
    let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
    match pair {
        // Some pad with zeros.
        Some((username, password)) => Ok(Some(basic(username, password.trim_end_matches('\0')))),
        None => Err(fault(
            what,
            "its \"auth\" is not the base64 of NAME:PASSWORD",
        )),
    }
}

/// Tells whether a key of a file means a registry or a path in it.
fn is_same(key: &str, name: &str) -> bool {
    let key = key
        .trim_start_matches("https://")
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let bare = key
        .strip_suffix("/v1")
        .or(key.strip_suffix("/v2"))
        .unwrap_or(key);
    key == name || bare == name || name == DEFAULT_HOST && HUB.contains(&bare)
}

/// What files and helpers call a registry.
fn server(host: &str) -> &str {
    match host {
        DEFAULT_HOST => "https://index.docker.io/v1/",
        host => host,
    }
}

fn fault(file: &str, reason: &str) -> Error {
    Error::Credentials {
        file: file.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> ConfigFile {
        ConfigFile::parse("config.json", json.as_bytes()).unwrap()
    }

    fn basic(username: &str, password: &str) -> Entry {
        Entry::Known(Credentials::Basic {
            username: username.into(),
            password: Secret::new(password),
        })
    }

    /// base64 of `ann:s:cret`.
    const ANN: &str = "YW5uOnM6Y3JldA==";

    #[test]
    fn keys_are_found_however_they_are_written() {
        for key in [
            "r.io:5000",
            "https://r.io:5000",
            "http://r.io:5000/v1/",
            "https://r.io:5000/v2/",
        ] {
            let config = config(&format!(r#"{{"auths":{{"{key}":{{"auth":"{ANN}"}}}}}}"#));
            assert_eq!(
                config.lookup("r.io:5000", "a/b").unwrap(),
                basic("ann", "s:cret"),
                "{key}"
            );
            assert_eq!(config.lookup("r.io", "a/b").unwrap(), Entry::Nothing);
        }
        let hub = config(&format!(
            r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{ANN}"}}}}}}"#
        ));
        assert_eq!(
            hub.lookup("docker.io", "library/x").unwrap(),
            basic("ann", "s:cret")
        );
    }

    #[test]
    fn the_longest_path_wins() {
        let config = config(
            r#"{"auths":{"q.io":{"username":"a","password":"1"},"q.io/ns":{"username":"b","password":"2"}}}"#,
        );
        assert_eq!(config.lookup("q.io", "ns/app").unwrap(), basic("b", "2"));
        assert_eq!(config.lookup("q.io", "nsx/app").unwrap(), basic("a", "1"));
    }

    #[test]
    fn helpers_are_named_the_one_for_all_also_without_an_entry() {
        let config = config(
            r#"{"credsStore":"desktop","credHelpers":{"gcr.io":"gcloud"},"auths":{"q.io":{}}}"#,
        );
        let helper = |name: &str, server: &str| Entry::Helper {
            name: name.into(),
            server: server.into(),
        };
        assert_eq!(
            config.lookup("gcr.io", "x").unwrap(),
            helper("gcloud", "gcr.io")
        );
        assert_eq!(
            config.lookup("q.io", "x").unwrap(),
            helper("desktop", "q.io")
        );
        assert_eq!(
            config.lookup("docker.io", "x").unwrap(),
            helper("desktop", "https://index.docker.io/v1/")
        );
        assert_eq!(
            config.helper("gcr.io"),
            Some(("gcloud".into(), "gcr.io".into()))
        );
    }

    #[test]
    fn tokens_are_told_from_passwords() {
        let config =
            config(r#"{"auths":{"a.io":{"identitytoken":"i"},"b.io":{"registrytoken":"t"}}}"#);
        let known = |credentials| Entry::Known(credentials);
        assert_eq!(
            config.lookup("a.io", "x").unwrap(),
            known(Credentials::Identity(Secret::new("i")))
        );
        assert_eq!(
            config.lookup("b.io", "x").unwrap(),
            known(Credentials::Bearer(Secret::new("t")))
        );
    }

    #[test]
    fn changes_keep_what_is_not_known() {
        let mut config =
            config(r#"{"auths":{"https://a.io/v1/":{"auth":"x"}},"detachKeys":"ctrl-e"}"#);
        config.set("a.io", "ann", &Secret::new("s:cret"));
        let again = ConfigFile::parse("c", &config.to_bytes()).unwrap();
        assert_eq!(again.lookup("a.io", "x").unwrap(), basic("ann", "s:cret"));
        let value: Value = serde_json::from_slice(&config.to_bytes()).unwrap();
        assert_eq!(value["detachKeys"], "ctrl-e");
        assert_eq!(value["auths"], json!({"a.io": {"auth": ANN}}));
        assert!(config.remove("a.io") && !config.remove("a.io"));
    }

    #[test]
    fn files_for_one_registry_are_read() {
        let parse = |json: &str| parse_auth_file("auth.json", json.as_bytes());
        let Ok(Ok(Credentials::Basic { username, .. })) =
            parse(r#"{"username":"a","password":"b"}"#)
        else {
            panic!("no name and password");
        };
        assert_eq!(username, "a");
        assert_eq!(
            parse(r#"{"token":"t"}"#).unwrap().unwrap(),
            Credentials::Bearer(Secret::new("t"))
        );
        assert!(parse(r#"{"auths":{}}"#).unwrap().is_err());
        assert!(parse("{}").is_err());
    }

    #[test]
    fn neither_errors_nor_debug_repeat_what_is_secret() {
        let broken = ConfigFile::parse("c", br#"{"auths":{"a":{"auth":"hunter2"#).unwrap_err();
        let wrong = config(r#"{"auths":{"a":{"auth":"hunter2"}}}"#);
        let error = wrong.lookup("a", "x").unwrap_err();
        let all = format!("{broken} {broken:?} {error} {error:?} {wrong:?}");
        assert!(!all.contains("hunter2"), "{all}");
    }
}
