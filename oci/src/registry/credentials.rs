//! What is known of a user, and who is asked for it.

use std::fmt::Debug;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Error;
use crate::http::Secret;

/// What a user shows to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    Anonymous,
    /// Name and password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// What a token service exchanges for tokens (OAuth2's refresh token).
    Identity(Secret),
    /// A token for the registry itself.
    Bearer(Secret),
}

impl Credentials {
    /// Returns the value of `Authorization` for name and password.
    pub(super) fn basic(username: &str, password: &Secret) -> Secret {
        let pair = format!("{username}:{}", password.reveal());
        Secret::new(format!("Basic {}", STANDARD.encode(pair)))
    }

    /// Tells whether something is shown at all.
    #[must_use]
    pub fn are_known(&self) -> bool {
        *self != Self::Anonymous
    }
}

/// Knows credentials by registry.
pub trait Keychain: Debug + Send + Sync {
    /// Returns the credentials for a repository of a registry, named as in references
    /// (`docker.io`, not the host behind it).
    ///
    /// # Errors
    /// [`Error::Credentials`], [`Error::Keychain`].
    fn credentials(&self, host: &str, repository: &str) -> Result<Credentials, Error>;
}

/// Knows nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous;

impl Keychain for Anonymous {
    fn credentials(&self, _: &str, _: &str) -> Result<Credentials, Error> {
        Ok(Credentials::Anonymous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let secret = || Secret::new("hunter2");
        for credentials in [
            Credentials::Basic {
                username: "ann".into(),
                password: secret(),
            },
            Credentials::Identity(secret()),
            Credentials::Bearer(secret()),
        ] {
            assert!(!format!("{credentials:?}").contains("hunter2"));
        }
    }

    #[test]
    fn name_and_password_are_one_header() {
        // The example of RFC 7617.
        let value = Credentials::basic("Aladdin", &Secret::new("open sesame"));
        assert_eq!(value.reveal(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
