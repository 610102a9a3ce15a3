//! The URLs of a registry.

use crate::http::{Client, Error, Url, is_loopback};
use crate::{DEFAULT_HOST, Digest};

/// Where a registry is, by the name that references give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The name in references and in files of credentials.
    host: String,
    base: Url,
}

impl Endpoint {
    /// Finds the registry of a name: by TLS, or by plain HTTP where the client allows that, unless
    /// `tls` is wanted even of this machine.
    ///
    /// # Errors
    /// [`Error::Url`] for a name that is no host.
    pub fn new(client: &Client, host: &str, tls: bool) -> Result<Self, Error> {
        let name = host_without_port(host);
        let plain = !tls && (is_loopback(name) || client.allows_plain(name));
        let scheme = if plain { "http" } else { "https" };
        let behind = if host == DEFAULT_HOST {
            "registry-1.docker.io"
        } else {
            host
        };
        Ok(Self {
            host: host.to_owned(),
            base: Url::parse(&format!("{scheme}://{behind}/v2/"))?,
        })
    }

    /// Returns the registry's name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the URL that tells whether it is a registry.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
    }

    pub(super) fn blob(&self, repository: &str, digest: &Digest) -> Result<Url, Error> {
        self.at(repository, &format!("blobs/{digest}"))
    }

    pub(super) fn uploads(&self, repository: &str) -> Result<Url, Error> {
        self.at(repository, "blobs/uploads/")
    }

    /// The URL of a manifest, by its digest or tag.
    pub(super) fn manifest(&self, repository: &str, name: &str) -> Result<Url, Error> {
        self.at(repository, &format!("manifests/{name}"))
    }

    pub(super) fn tags(&self, repository: &str) -> Result<Url, Error> {
        self.at(repository, "tags/list")
    }

    pub(super) fn referrers(&self, repository: &str, digest: &Digest) -> Result<Url, Error> {
        self.at(repository, &format!("referrers/{digest}"))
    }

    fn at(&self, repository: &str, rest: &str) -> Result<Url, Error> {
        self.base
            .join(&format!("{}{repository}/{rest}", self.base.path()))
    }
}

fn host_without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}
