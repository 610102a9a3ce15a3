//! Says in errors which of several sources they come from.

use std::sync::Arc;

use forger_block::BlockRead;
use forger_fs::observe::Note;
use forger_fs::source::{BodyPlace, BodyRun, Entry, Error, Source};

/// A source whose errors begin with its name.
pub(super) struct Labelled {
    source: Box<dyn Source>,
    label: String,
}

impl Labelled {
    pub(super) fn new(source: Box<dyn Source>, label: String) -> Self {
        Self { source, label }
    }
}

/// An error, and the source it comes from.
#[derive(Debug, thiserror::Error)]
#[error("in {label}")]
pub(crate) struct InSource {
    label: String,
    /// What went wrong there.
    pub(crate) source: Error,
}

impl Source for Labelled {
    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        let Self { source, label } = self;
        source.next_entry().map_err(|error| labelled(label, error))
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, Error> {
        let Self { source, label } = self;
        source.next_run().map_err(|error| labelled(label, error))
    }

    fn next_place(&mut self) -> Result<Option<BodyPlace>, Error> {
        let Self { source, label } = self;
        source.next_place().map_err(|error| labelled(label, error))
    }

    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        self.source.origin()
    }

    fn keeps_folders(&self) -> bool {
        self.source.keeps_folders()
    }

    fn has_whiteouts(&self) -> bool {
        self.source.has_whiteouts()
    }

    fn take_notes(&mut self) -> Vec<Note> {
        self.source.take_notes()
    }
}

fn labelled(label: &str, source: Error) -> Error {
    Error::Other(Box::new(InSource {
        label: label.to_owned(),
        source,
    }))
}
