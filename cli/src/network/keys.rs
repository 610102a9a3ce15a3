//! Whose credentials a registry is shown: the first of what was said, what is kept, what CI gives.

use std::io;
use std::path::PathBuf;

use forger_oci::http::Secret;
use forger_oci::registry::{ConfigFile, Credentials, Entry, Error, Keychain, parse_auth_file};

use super::{Helper, config_file, read};
use crate::args::network::{NetworkArgs, NetworkVariables};
use crate::exit::Failure;
use crate::progress::Voice;

/// The registry that `GITHUB_TOKEN` is for.
const GITHUB: &str = "ghcr.io";

/// Knows credentials.
#[derive(Debug)]
pub(super) struct Keys {
    /// What `--auth-file` holds.
    explicit: Option<Result<Credentials, ConfigFile>>,
    /// `FORGER_OCI_BEARER`, and the registry it is for.
    bearer: Option<(String, Secret)>,
    files: Vec<PathBuf>,
    github: Option<Secret>,
    voice: Voice,
}

impl Keys {
    pub(super) fn new(
        args: &NetworkArgs,
        variables: &NetworkVariables,
        registries: &[&str],
        voice: Voice,
    ) -> Result<Self, Failure> {
        let explicit = match &args.auth_file {
            None => None,
            Some(path) => {
                let shown = path.display().to_string();
                let what = || format!("cannot take the credentials from {shown}");
                let bytes = read(path).map_err(|error| Failure::failed(what()).because(error))?;
                let parsed = parse_auth_file(&shown, &bytes);
                Some(parsed.map_err(|error| Failure::failed(what()).because(error))?)
            }
        };
        let mut hosts: Vec<&str> = registries.to_vec();
        hosts.sort_unstable();
        hosts.dedup();
        let bearer = match (hosts.as_slice(), &variables.bearer) {
            ([host], Some(token)) => Some(((*host).to_owned(), token.clone())),
            ([], _) | (_, None) => None,
            (_, Some(_)) => {
                voice.say("FORGER_OCI_BEARER is shown to nobody: it is not said which of the registries it is for");
                None
            }
        };
        if let (true, Some(Ok(_))) = (hosts.len() > 1, &explicit) {
            let path = args.auth_file.iter().map(|path| path.display().to_string());
            return Err(Failure::usage(format!(
                "{} has the credentials of one registry, and there are {}: {}",
                path.collect::<String>(),
                hosts.len(),
                hosts.join(", ")
            ))
            .help("name a file with \"auths\", as docker and podman write it"));
        }
        Ok(Self {
            explicit,
            bearer,
            files: variables.auth_files.clone(),
            github: variables.github.clone(),
            voice,
        })
    }

    /// Looks into one file, and asks the helper that it names.
    fn look_up(
        &self,
        file: &ConfigFile,
        host: &str,
        repository: &str,
    ) -> Result<Credentials, Error> {
        let (name, server) = match file.lookup(host, repository)? {
            Entry::Known(credentials) => return Ok(credentials),
            Entry::Nothing => return Ok(Credentials::Anonymous),
            Entry::Helper { name, server } => (name, server),
        };
        let failed = |source: io::Error| Error::Keychain {
            host: host.to_owned(),
            source: source.into(),
        };
        let helper = Helper::new(&name).map_err(failed)?;
        match helper.get(&server) {
            // Left behind by a program that is gone: what is public can be had without it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.voice.say(&format!(
                    "{} is named by {file:?}, but not installed",
                    helper.program()
                ));
                Ok(Credentials::Anonymous)
            }
            result => result.map_err(failed),
        }
    }
}

impl Keychain for Keys {
    fn credentials(&self, host: &str, repository: &str) -> Result<Credentials, Error> {
        match &self.explicit {
            Some(Ok(credentials)) => return Ok(credentials.clone()),
            Some(Err(file)) => return self.look_up(file, host, repository),
            None => {}
        }
        if let Some((bearer_host, token)) = &self.bearer
            && bearer_host == host
        {
            return Ok(Credentials::Bearer(token.clone()));
        }
        for path in &self.files {
            let credentials = self.look_up(&config_file(path)?, host, repository)?;
            if credentials.are_known() {
                return Ok(credentials);
            }
        }
        Ok(match &self.github {
            Some(token) if host == GITHUB => Credentials::Basic {
                username: "token".to_owned(),
                password: token.clone(),
            },
            _ => Credentials::Anonymous,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(variables: &NetworkVariables, registries: &[&str]) -> Keys {
        Keys::new(
            &NetworkArgs::default(),
            variables,
            registries,
            Voice::silent(),
        )
        .unwrap()
    }

    #[test]
    fn a_token_of_the_environment_is_for_one_registry() {
        let variables = NetworkVariables {
            bearer: Some(Secret::new("b")),
            github: Some(Secret::new("g")),
            ..NetworkVariables::default()
        };
        let known = |registries: &[&str], host| {
            keys(&variables, registries)
                .credentials(host, "a/b")
                .unwrap()
        };
        assert_eq!(
            known(&["r.io"], "r.io"),
            Credentials::Bearer(Secret::new("b"))
        );
        assert_eq!(known(&["r.io"], "s.io"), Credentials::Anonymous);
        assert_eq!(known(&["r.io", "s.io"], "r.io"), Credentials::Anonymous);
        let github = known(&["r.io", "ghcr.io"], "ghcr.io");
        assert!(matches!(github, Credentials::Basic { .. }));
        for host in ["ghcr.io.example.com", "GHCR.IO", "gcr.io"] {
            assert_eq!(
                known(&["r.io", host], host),
                Credentials::Anonymous,
                "{host}"
            );
        }
        let all = format!("{:?} {variables:?}", keys(&variables, &["r.io"]));
        assert!(
            !all.contains("Secret(g)") && !all.contains("\"b\""),
            "{all}"
        );
    }

    #[test]
    fn what_is_kept_for_a_registry_comes_before_the_token_of_ci() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(
            &file,
            r#"{"auths":{"ghcr.io":{"username":"ann","password":"p"}}}"#,
        )
        .unwrap();
        let variables = NetworkVariables {
            github: Some(Secret::new("g")),
            auth_files: vec![folder.path().join("none.json"), file],
            ..NetworkVariables::default()
        };
        let Credentials::Basic { username, .. } = keys(&variables, &["ghcr.io"])
            .credentials("ghcr.io", "a")
            .unwrap()
        else {
            panic!("no name");
        };
        assert_eq!(username, "ann");
    }
}
