//! Files from anywhere: this machine, a web server, a registry.

use std::fs::File;
use std::io::{self, Read};

use forger::catalog::{self, Catalog, Location};
use forger_oci::artifact::ArtifactFile;
use forger_oci::blob::{self, Images};
use forger_oci::manifest::Manifest;
use forger_oci::{Reference, registry};

use super::Network;
use crate::exit::Failure;
use crate::remedy;

/// A file that is being fetched.
pub(crate) struct Fetched {
    /// Its bytes; those of a registry are verified, others are not.
    pub(crate) reader: Box<dyn Read + Send>,
    /// Its length in bytes, where that is known.
    pub(crate) size: Option<u64>,
}

impl Network {
    /// Begins to fetch a file.
    ///
    /// # Errors
    /// Why there is nothing.
    pub(crate) fn fetch(&self, location: &Location) -> Result<Fetched, Failure> {
        let what = || format!("cannot fetch {location}");
        match location {
            Location::File(path) => {
                let open = || -> io::Result<Fetched> {
                    let file = File::open(path)?;
                    let size = Some(file.metadata()?.len());
                    let reader = Box::new(file);
                    Ok(Fetched { reader, size })
                };
                open().map_err(|error| Failure::failed(what()).because(error))
            }
            Location::Web(url) => {
                let (reader, size) = registry::open_url(self.client(), url)
                    .map_err(|error| remedy::oci(what(), error.into()))?;
                Ok(Fetched { reader, size })
            }
            Location::Registry(reference) => {
                let repository = self.repository(reference, registry::Options::default())?;
                let open = || -> forger_oci::Result<Fetched> {
                    let file = artifact(&repository, reference)?;
                    Ok(Fetched {
                        size: Some(file.layer.size()),
                        reader: Box::new(blob::open(&repository, &file.layer)?),
                    })
                };
                open().map_err(|error| remedy::oci(what(), error))
            }
        }
    }

    /// Fetches a catalog.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn catalog(&self, location: &Location) -> Result<Catalog, Failure> {
        let what = || format!("cannot use the catalog {location}");
        let mut bytes = Vec::new();
        let reader = self.fetch(location)?.reader;
        let read = reader.take(catalog::LIMIT + 1).read_to_end(&mut bytes);
        let length = read.map_err(|error| {
            remedy::oci(what(), forger_oci::Error::read(location.to_string(), error))
        })?;
        if u64::try_from(length).is_ok_and(|length| length > catalog::LIMIT) {
            return Err(Failure::failed(what()).help("it is longer than any catalog"));
        }
        Catalog::parse(&location.to_string(), &bytes)
            .map_err(|error| Failure::failed(what()).because(error))
    }
}

/// Finds the one file of an artifact.
fn artifact(images: &dyn Images, reference: &Reference) -> forger_oci::Result<ArtifactFile> {
    let missing =
        || forger_oci::Error::invalid(reference.to_string(), "it is no artifact of one file");
    match Manifest::read(images, &images.root()?)? {
        Manifest::Image(manifest) => ArtifactFile::of(&manifest)?.ok_or_else(missing),
        Manifest::Index(_) => Err(missing()),
    }
}
