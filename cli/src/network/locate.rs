//! Where something of a catalog is, or of an URL.

use forger::catalog::{Entry, Location};

use super::Network;
use crate::args::catalog;
use crate::args::network::NetworkArgs;
use crate::exit::Failure;
use crate::progress::Console;
use crate::remedy;

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a> {
    /// What it is, for messages.
    pub(crate) kind: &'static str,
    /// Its name in the catalog, or an URL.
    pub(crate) name: &'a str,
    /// The catalog, where it is not the usual one.
    pub(crate) catalog: Option<&'a str>,
    /// The architecture, where the catalog has several.
    pub(crate) arch: Option<&'a str>,
    /// What its SHA-256 has to be.
    pub(crate) sha256: Option<[u8; 32]>,
}

/// What is fetched.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) location: Location,
    pub(crate) sha256: Option<[u8; 32]>,
    /// What the catalog says of it.
    pub(crate) entry: Option<Entry>,
}

impl Query<'_> {
    /// Finds out where it is; asks for the catalog where it is named by one.
    ///
    /// # Errors
    /// No such name or URL; a catalog that cannot be read, or means something else.
    pub(crate) fn locate(
        &self,
        args: &NetworkArgs,
        console: &Console,
    ) -> Result<(Network, Wanted), Failure> {
        let Self { kind, name, .. } = self;
        if name.contains("://") {
            let location = Location::parse(name).map_err(|error| {
                Failure::usage(format!("the {kind} cannot be found")).because(error)
            })?;
            let network = Network::start(args, &catalog::registries([&location]), console)?;
            let wanted = Wanted {
                location,
                sha256: self.sha256,
                entry: None,
            };
            return Ok((network, wanted));
        }
        let place = catalog::location(self.catalog)?;
        let network = Network::start(args, &catalog::registries([&place]), console)?;
        let document = network
            .catalog(&place)
            .map_err(|failure| match self.catalog {
                None => failure.help("--catalog or FORGER_CATALOG names a catalog"),
                Some(_) => failure,
            })?;
        let what = || format!("cannot fetch the {kind} {name:?}");
        let entry = document.find(&place.to_string(), name, self.arch);
        let entry = entry.map_err(|error| remedy::catalog(what(), error))?;
        let location = place.join(&entry.tarball_url);
        let location = location.map_err(|error| Failure::failed(what()).because(error))?;
        let listed = entry.sha256();
        if self.sha256.is_some() && self.sha256 != listed {
            return Err(Failure::failed(what()).help(format!(
                "the catalog has another SHA-256 than --sha256: one of them means another {kind}"
            )));
        }
        let wanted = Wanted {
            location,
            sha256: listed,
            entry: Some(entry.clone()),
        };
        Ok((network, wanted))
    }
}
