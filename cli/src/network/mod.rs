//! Registries and other servers, as the command line and the surroundings say they are reached.

mod credential_helper;
mod fetch;
mod keys;
pub(crate) mod locate;
mod patience;
pub(crate) mod transfer;

use std::path::Path;
use std::sync::Arc;

use forger_oci::blob::Images;
use forger_oci::http::{Client, Options, Roots, Schedule};
use forger_oci::registry::{self, ConfigFile, Repository};
use forger_oci::{Reference, WithForeign};

use crate::args::network::NetworkArgs;
use crate::config;
use crate::exit::Failure;
use crate::progress::Console;
use crate::remedy;

pub(crate) use credential_helper::Helper;
use keys::Keys;
use patience::Patience;

/// The longest file of credentials or certificates, in bytes.
const LIMIT: u64 = 16 << 20;

/// Whatever is needed to ask servers.
pub(crate) struct Network {
    client: Arc<Client>,
    keys: Arc<Keys>,
    tls: bool,
    fetch_foreign: bool,
}

impl Network {
    /// Makes ready for the registries that the command line names; nothing is asked yet.
    ///
    /// # Errors
    /// Files that cannot be read or understood.
    pub(crate) fn start(
        args: &NetworkArgs,
        registries: &[&str],
        console: &Console,
    ) -> Result<Self, Failure> {
        let variables = config::network_variables();
        let registries: Vec<&str> = registries
            .iter()
            .copied()
            .chain(args.registries.iter().map(String::as_str))
            .collect();
        let keys = Keys::new(args, &variables, &registries, console.voice())?;
        let options = Options {
            roots: roots(args, variables.certificates.as_deref().map(Path::new))?,
            proxies: variables.proxies,
            plain_http: args.plain_http,
            schedule: Schedule {
                attempts: args.retries.saturating_add(1),
                ..Schedule::default()
            },
            ..Options::default()
        };
        let patience = Patience::new(console.signals().clone(), console.voice());
        let client = Client::new(options, Arc::new(patience))
            .map_err(|error| Failure::usage("the network options make no sense").because(error))?;
        let client = Arc::new(client);
        let interrupted = Arc::clone(&client);
        console
            .signals()
            .when_caught(move || interrupted.shut_down());
        Ok(Self {
            client,
            keys: Arc::new(keys),
            tls: args.tls,
            fetch_foreign: args.fetch_foreign,
        })
    }

    /// Names a repository and an image of it.
    ///
    /// # Errors
    /// A host that is none.
    pub(crate) fn repository(
        &self,
        reference: &Reference,
        options: registry::Options,
    ) -> Result<Repository, Failure> {
        let options = registry::Options {
            tls: self.tls,
            ..options
        };
        Repository::new(self.client.clone(), reference, self.keys.clone(), options)
            .map_err(|error| remedy::oci(format!("cannot use {reference}"), error))
    }

    /// Asks a registry whether it knows a user.
    ///
    /// # Errors
    /// Its refusal.
    pub(crate) fn log_in(
        &self,
        host: &str,
        keychain: Arc<dyn registry::Keychain>,
    ) -> Result<(), Failure> {
        Repository::log_in(&self.client, host, keychain, self.tls)
            .map_err(|error| remedy::oci(format!("cannot log in to {host}"), error))
    }

    /// Lets layers of an image come from where it says, if there is leave.
    pub(crate) fn with_foreign(&self, images: Arc<dyn Images>) -> Arc<dyn Images> {
        match self.fetch_foreign {
            true => Arc::new(WithForeign::new(images, Arc::clone(&self.client))),
            false => images,
        }
    }

    /// Tells whether layers may come from where an image says.
    pub(crate) fn fetches_foreign(&self) -> bool {
        self.fetch_foreign
    }

    /// Returns the client, for servers that are no registries.
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }
}

/// Reads whom to trust: the system's bundle or the one that is named instead, and further ones.
fn roots(args: &NetworkArgs, instead: Option<&Path>) -> Result<Roots, Failure> {
    let mut roots = Roots::default();
    let system = match instead {
        Some(path) => Some(path),
        None => config::certificate_bundles()
            .iter()
            .map(Path::new)
            .find(|path| path.is_file()),
    };
    for path in system
        .into_iter()
        .chain(args.ca_file.iter().map(AsRef::as_ref))
    {
        add(&mut roots, path)?;
    }
    Ok(roots)
}

/// Reads a file of certificates as PEM; there is one at least.
///
/// # Errors
/// A file that cannot be read, and one without a certificate.
pub(crate) fn certificates(path: &Path) -> Result<Vec<u8>, Failure> {
    add(&mut Roots::default(), path)
}

/// Adds the certificates of a file, and returns what is in it.
fn add(roots: &mut Roots, path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = path.display().to_string();
    let what = || format!("cannot take the certificates to trust from {shown}");
    let bytes = read(path).map_err(|error| Failure::failed(what()).because(error))?;
    let count = roots.len();
    let added = roots.add_pem(&bytes, &shown);
    added.map_err(|error| Failure::failed(what()).because(error))?;
    match roots.len() == count {
        true => Err(Failure::failed(what()).help("it holds none; they are wanted as PEM")),
        false => Ok(bytes),
    }
}

/// Reads a file of credentials; one that is not there has nothing.
///
/// # Errors
/// Why it cannot be read or understood.
pub(crate) fn config_file(path: &Path) -> Result<ConfigFile, registry::Error> {
    let shown = path.display().to_string();
    match read(path) {
        Ok(bytes) => ConfigFile::parse(&shown, &bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(ConfigFile::empty(&shown)),
        Err(error) => Err(registry::Error::Credentials {
            file: shown,
            reason: error.to_string(),
        }),
    }
}

/// Reads a file of moderate length.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(LIMIT)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
