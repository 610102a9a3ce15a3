//! The log of what the guest fetched.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use forger_vm::proxy::{Observer, Request};
use serde_json::json;

use crate::exit::Failure;

/// A file that gets one object a line for each request, as it ends.
#[derive(Clone, Debug)]
pub(super) struct Log {
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// The first line that could not be written.
    failed: Option<io::Error>,
}

impl Log {
    /// Begins an empty file.
    ///
    /// # Errors
    /// One that cannot be written.
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| refused(path, error))?;
        let state = State { file, failed: None };
        Ok(Self {
            path: path.to_owned(),
            state: Arc::new(Mutex::new(state)),
        })
    }

    /// Returns what writes the lines.
    pub(super) fn observer(&self) -> Observer {
        let state = Arc::clone(&self.state);
        Observer::new(move |request| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = state.file.write_all(line(request).as_bytes()) {
                state.failed.get_or_insert(error);
            }
        })
    }

    /// Says whether all lines were written.
    ///
    /// # Errors
    /// One that was not.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.failed.take() {
            Some(error) => Err(refused(&self.path, error)),
            None => Ok(()),
        }
    }
}

fn refused(path: &Path, error: io::Error) -> Failure {
    Failure::failed(format!("cannot write the log {}", path.display())).because(error)
}

fn line(request: &Request) -> String {
    let digest = request.sha256.map(|digest| {
        digest.iter().fold(String::new(), |mut text, byte| {
            // A string takes everything.
            let _ = write!(text, "{byte:02x}");
            text
        })
    });
    let object = json!({
        "method": request.method,
        "url": request.url,
        "status": request.status,
        "received": request.received,
        "sent": request.sent,
        "sha256": digest,
        "problem": request.problem,
    });
    format!("{object}\n")
}
