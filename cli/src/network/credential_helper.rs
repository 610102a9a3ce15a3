//! Credential helpers: programs that keep passwords for docker and podman
//! ([protocol](https://github.com/docker/docker-credential-helpers)).
//!
//! The only programs that these commands start, and only those that the user's own files name.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use forger_oci::http::Secret;
use forger_oci::registry::Credentials;
use serde::Deserialize;

/// How long a helper may take: it may have to ask its user.
const LIMIT: Duration = Duration::from_secs(120);
/// The longest answer of a helper, in bytes.
const ANSWER: u64 = 1 << 20;
/// The name by which helpers say that a secret is an identity token.
const TOKEN: &str = "<token>";

/// A credential helper.
#[derive(Debug)]
pub(crate) struct Helper {
    program: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl Helper {
    /// Names a helper as files do, without `docker-credential-`.
    ///
    /// # Errors
    /// A name that is more than a name.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        match !name.is_empty() && name.bytes().all(plain) {
            true => Ok(Self {
                program: format!("docker-credential-{name}"),
            }),
            false => Err(io::Error::other(format!("{name:?} is no name of a helper"))),
        }
    }

    /// The program's name.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// Asks for what is known of a registry.
    ///
    /// # Errors
    /// Why the helper could not be asked; [`io::ErrorKind::NotFound`] when it is not installed.
    pub(crate) fn get(&self, server: &str) -> io::Result<Credentials> {
        let answer = match self.run("get", server.as_bytes())? {
            Ok(answer) => answer,
            Err(said) if said.contains("not found") => return Ok(Credentials::Anonymous),
            Err(said) => return Err(self.refused("get", &said)),
        };
        // What serde_json complains of would repeat the secret.
        let answer: Answer = serde_json::from_slice(&answer)
            .map_err(|_| self.refused("get", "its answer has no Username and Secret"))?;
        let secret = Secret::new(answer.secret);
        Ok(match answer.username.as_str() {
            TOKEN => Credentials::Identity(secret),
            "" => Credentials::Anonymous,
            _ => Credentials::Basic {
                username: answer.username,
                password: secret,
            },
        })
    }

    /// Lets the helper keep a name and a password.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn store(&self, server: &str, username: &str, secret: &Secret) -> io::Result<()> {
        let object = serde_json::json!({
            "ServerURL": server,
            "Username": username,
            "Secret": secret.reveal(),
        });
        let stored = self.run("store", object.to_string().as_bytes())?;
        stored
            .map(drop)
            .map_err(|said| self.refused("store", &said))
    }

    /// Lets the helper forget a registry.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn erase(&self, server: &str) -> io::Result<()> {
        let erased = self.run("erase", server.as_bytes())?;
        erased
            .map(drop)
            .map_err(|said| self.refused("erase", &said))
    }

    fn refused(&self, verb: &str, said: &str) -> io::Error {
        let said: String = said
            .chars()
            .filter(|letter| !letter.is_control())
            .take(200)
            .collect();
        io::Error::other(format!("{} {verb}: {}", self.program, said.trim()))
    }

    /// Runs the helper: what it says when it succeeds, or when it does not.
    fn run(&self, verb: &str, input: &[u8]) -> io::Result<Result<Vec<u8>, String>> {
        let mut child = Command::new(&self.program)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that does not read says why with its status.
            let _ = stdin.write_all(input);
        }
        let (report, reports) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut answer = Vec::new();
                let read = stdout.take(ANSWER).read_to_end(&mut answer);
                // Nobody listens any more when it took too long.
                let _ = report.send(read.map(|_| answer));
            });
        }
        let answer = reports.recv_timeout(LIMIT).unwrap_or_else(|_| {
            // It ended a moment ago, then.
            let _ = child.kill();
            Err(io::Error::other(format!(
                "{} does not answer",
                self.program
            )))
        });
        let status = child.wait()?;
        let answer = answer?;
        Ok(match status.success() {
            true => Ok(answer),
            false => Err(String::from_utf8_lossy(&answer).into_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_is_named_and_is_no_path() {
        assert_eq!(
            Helper::new("ecr-login").unwrap().program(),
            "docker-credential-ecr-login"
        );
        for name in ["", "../x", "a b", "a;b", "$(x)"] {
            assert!(Helper::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_helper_that_is_not_installed_is_told_from_one_that_fails() {
        let helper = Helper::new("is-not-installed-anywhere").unwrap();
        assert_eq!(helper.get("x").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
