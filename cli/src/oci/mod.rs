//! Container images as the command line names them.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use forger_oci::blob::{Blobs, ImageSink, Images};
use forger_oci::layer::{self, LayerOptions, LayerSource};
use forger_oci::layout::{ArchiveSink, Layout, LayoutFolder};
use forger_oci::manifest;
use forger_oci::{
    Descriptor, DockerArchive, Error, ImageConfiguration, ImageManifest, Name, Platform, Transport,
};

use crate::args::network::NetworkArgs;
use crate::args::run::WriteArgs;
use crate::config;
use crate::exit::Failure;
use crate::network::{Network, transfer};
use crate::progress::Console;
use crate::remedy;

/// Understands a transport; `None` for anything else.
///
/// # Errors
/// Wrong usage for a transport with a wrong name behind it.
pub(crate) fn transport(typed: &OsStr) -> Result<Option<Transport>, Failure> {
    // A file of that name in the current folder is written with ./ in front.
    Transport::parse(typed, Path::exists).map_err(|error| {
        Failure::usage(format!("cannot understand {}", typed.display())).because(error)
    })
}

/// Opens the place that a transport names, over the network where it is a registry.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn open(
    transport: &Transport,
    network: &NetworkArgs,
    console: &Console,
) -> Result<Arc<dyn Images>, Failure> {
    let host = host(transport);
    if host.is_none() && !network.fetch_foreign {
        return local(transport);
    }
    let hosts: Vec<&str> = host.into_iter().collect();
    transfer::source(transport, &Network::start(network, &hosts, console)?)
}

/// Returns the registry that a transport names, if it does.
pub(crate) fn host(transport: &Transport) -> Option<&str> {
    match transport {
        Transport::Registry(reference) => Some(reference.host()),
        _ => None,
    }
}

/// Returns the registries among what the command line names.
///
/// # Errors
/// As [`transport`].
pub(crate) fn hosts<'a>(
    typed: impl IntoIterator<Item = &'a OsString>,
) -> Result<Vec<String>, Failure> {
    let mut hosts = Vec::new();
    for typed in typed {
        let named = transport(typed)?;
        hosts.extend(named.as_ref().and_then(host).map(str::to_owned));
    }
    Ok(hosts)
}

/// Opens a layout or an archive.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn local(transport: &Transport) -> Result<Arc<dyn Images>, Failure> {
    let scratch = config::scratch_folder();
    let opened = match transport {
        Transport::Layout(path, name) => {
            Layout::open(path, name.clone()).map(|layout| Arc::new(layout) as Arc<dyn Images>)
        }
        Transport::LayoutArchive(path, name) => Layout::open_archive(path, name.clone(), &scratch)
            .map(|layout| Arc::new(layout) as Arc<dyn Images>),
        Transport::DockerArchive(path, name) => DockerArchive::open(path, name.clone(), &scratch)
            .map(|archive| Arc::new(archive) as Arc<dyn Images>),
        Transport::Registry(_) => {
            return Err(elsewhere(transport));
        }
    };
    opened.map_err(|error| remedy::oci(format!("cannot open {transport}"), error))
}

/// Opens a layout or an archive that an image is written to; archives are new.
///
/// # Errors
/// What stands there; what is wrong with the place.
pub(crate) fn create(
    transport: &Transport,
    write: WriteArgs,
) -> Result<Box<dyn ImageSink>, Failure> {
    let publish = crate::output::publish(write);
    let named = |name: &Name| match name {
        Name::Named(name) => Some(name.clone()),
        Name::Only | Name::Digest(_) => None,
    };
    let archive = |path: &Path, name: &Name, docker| {
        ArchiveSink::create(path, named(name), docker, publish)
            .map(|sink| Box::new(sink) as Box<dyn ImageSink>)
    };
    let created = match transport {
        Transport::Layout(path, name) => LayoutFolder::create(path, name.clone(), publish.sync)
            .map(|layout| Box::new(layout) as Box<dyn ImageSink>),
        Transport::LayoutArchive(path, name) => archive(path, name, false),
        Transport::DockerArchive(path, name) => archive(path, name, true),
        Transport::Registry(_) => {
            return Err(elsewhere(transport));
        }
    };
    created.map_err(|error| remedy::oci(format!("cannot write to {transport}"), error))
}

fn elsewhere(registry: &Transport) -> Failure {
    Failure::usage(format!("{registry} is not on this machine"))
        .help("forger copy takes an image from any place to any other")
}

/// One image of a place, for one platform.
pub(crate) struct Image {
    blobs: Arc<dyn Images>,
    transport: Transport,
    shown: String,
    /// What the place has under the name: the image's manifest, or an index.
    pub(crate) root: Descriptor,
    /// What refers to its manifest.
    pub(crate) descriptor: Descriptor,
    /// Its manifest.
    pub(crate) manifest: Box<ImageManifest>,
}

impl Image {
    /// Opens a place and chooses the image.
    ///
    /// # Errors
    /// What is wrong with the place; no image fits.
    pub(crate) fn open(
        transport: &Transport,
        platform: Option<&Platform>,
        network: &NetworkArgs,
        console: &Console,
    ) -> Result<Self, Failure> {
        let blobs = open(transport, network, console)?;
        let failed = |error| remedy::oci(format!("cannot read {transport}"), error);
        let root = blobs.root().map_err(failed)?;
        let selected =
            manifest::image(&*blobs, &root, platform, &config::platform()).map_err(failed)?;
        Ok(Self {
            blobs,
            transport: transport.clone(),
            shown: transport.to_string(),
            root,
            descriptor: selected.descriptor,
            manifest: selected.manifest,
        })
    }

    /// Tells whether the image is one of several.
    pub(crate) fn is_in_index(&self) -> bool {
        self.root.digest() != self.descriptor.digest()
    }

    /// Returns where the image is.
    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Returns the registry that has the image, if one does.
    pub(crate) fn host(&self) -> Option<&str> {
        host(&self.transport)
    }

    /// How the image is called in messages.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Returns where the image's blobs are.
    pub(crate) fn blobs(&self) -> &Arc<dyn Images> {
        &self.blobs
    }

    /// Reads the configuration, with each layer's diff_id.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn config(&self) -> Result<(ImageConfiguration, Vec<forger_oci::Digest>), Failure> {
        manifest::config(&*self.blobs, &self.manifest).map_err(|error| self.failed(error))
    }

    /// Returns the layers, the lowest first, and the configuration.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn layers(
        &self,
        options: &LayerOptions,
    ) -> Result<(Vec<LayerSource>, ImageConfiguration), Failure> {
        let (config, diff_ids) = self.config()?;
        let blobs: Arc<dyn Blobs> = Arc::<dyn Images>::clone(&self.blobs);
        let layers = layer::open(&blobs, &self.manifest, &diff_ids, options);
        Ok((layers.map_err(|error| self.failed(error))?, config))
    }

    fn failed(&self, error: Error) -> Failure {
        remedy::oci(format!("cannot read {}", self.shown), error)
    }
}
