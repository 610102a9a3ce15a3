//! Images from one place to another, whatever the places are.

use std::sync::Arc;

use forger_fs::observe::{Note, Observer};
use forger_oci::blob::{ImageSink, Images};
use forger_oci::{Copied, CopyOptions, CopyPlan, Descriptor, Transport, registry};

use super::Network;
use crate::args::run::WriteArgs;
use crate::exit::Failure;
use crate::oci;
use crate::progress::Console;

/// A copy that is about to be made.
pub(crate) struct Transfer<'a> {
    pub(crate) source: &'a dyn Images,
    pub(crate) sink: &'a dyn ImageSink,
    /// The manifest or index to copy, with all below it.
    pub(crate) root: Descriptor,
    /// How many blobs are copied at a time.
    pub(crate) jobs: u16,
    /// Takes layers along that registries may not give away.
    pub(crate) foreign: bool,
}

impl Transfer<'_> {
    /// Copies, showing how far it is.
    ///
    /// # Errors
    /// Whatever is wrong with either place.
    pub(crate) fn run(&self, console: &mut Console) -> forger_oci::Result<Copied> {
        let mut plan = CopyPlan::new(self.source, self.root.clone())?;
        if self.foreign {
            plan = plan.with_foreign();
        }
        console.meter().expect(plan.size());
        let options = CopyOptions {
            jobs: usize::from(self.jobs),
        };
        plan.run(self.source, self.sink, &options, &mut Watched(console))
    }
}

/// Turns the meter with what is copied.
struct Watched<'a>(&'a mut Console);

impl Observer for Watched<'_> {
    fn note(&mut self, note: Note) {
        self.0.note(note);
    }

    fn advance(&mut self, bytes: u64) {
        forger_disk::Progress::advance(self.0, bytes);
    }

    fn cancelled(&mut self) -> bool {
        Observer::cancelled(self.0)
    }
}

/// Opens the place of an image that is read.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn source(transport: &Transport, network: &Network) -> Result<Arc<dyn Images>, Failure> {
    let images: Arc<dyn Images> = match transport {
        Transport::Registry(reference) => {
            Arc::new(network.repository(reference, registry::Options::default())?)
        }
        local => oci::local(local)?,
    };
    Ok(network.with_foreign(images))
}

/// Returns how a registry is used as the place where an image of another place goes: what both have in one
/// registry is mounted.
pub(crate) fn options(source: Option<&Transport>, dest: &Transport) -> registry::Options {
    let mount_from = match (source, dest) {
        (Some(Transport::Registry(from)), Transport::Registry(to))
            if from.host() == to.host() && from.repository() != to.repository() =>
        {
            vec![from.repository().to_owned()]
        }
        _ => Vec::new(),
    };
    registry::Options {
        mount_from,
        ..registry::Options::default()
    }
}

/// Opens the place where an image goes.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn sink(
    transport: &Transport,
    network: &Network,
    options: registry::Options,
    write: WriteArgs,
) -> Result<Box<dyn ImageSink>, Failure> {
    match transport {
        Transport::Registry(reference) => Ok(Box::new(network.repository(reference, options)?)),
        local => oci::create(local, write),
    }
}
