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
}

impl Transfer<'_> {
    /// Copies, showing how far it is.
    ///
    /// # Errors
    /// Whatever is wrong with either place.
    pub(crate) fn run(&self, console: &mut Console) -> forger_oci::Result<Copied> {
        let plan = CopyPlan::new(self.source, self.root.clone())?;
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
    match transport {
        Transport::Registry(reference) => {
            let repository = network.repository(reference, registry::Options::default())?;
            Ok(Arc::new(repository))
        }
        local => oci::local(local),
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
