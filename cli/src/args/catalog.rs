//! Which catalog is meant.

use clap::Args;
use forger::catalog::Location;

use crate::config;
use crate::exit::Failure;

/// The catalog.
#[derive(Args, Clone, Debug)]
pub(crate) struct CatalogArgs {
    /// The catalog: a file, an http: or https: URL, or oci://REF [default: FORGER_CATALOG]
    #[arg(long, value_name = "CATALOG")]
    pub(crate) catalog: Option<String>,
}

/// Returns where a catalog is, or the one that is meant when none is named.
///
/// # Errors
/// Wrong usage.
pub(crate) fn location(named: Option<&str>) -> Result<Location, Failure> {
    let default = || config::catalog()?.into_string().ok();
    let text = named.map(str::to_owned).or_else(default).ok_or_else(|| {
        Failure::usage("no catalog is named").help("name one with --catalog, or set FORGER_CATALOG")
    })?;
    Location::parse(&text)
        .map_err(|error| Failure::usage("the catalog cannot be found").because(error))
}

/// Returns the registry that a place is in, for credentials.
pub(crate) fn registries<'a>(places: impl IntoIterator<Item = &'a Location>) -> Vec<&'a str> {
    let host = |place: &'a Location| match place {
        Location::Registry(reference) => Some(reference.host()),
        _ => None,
    };
    places.into_iter().filter_map(host).collect()
}
