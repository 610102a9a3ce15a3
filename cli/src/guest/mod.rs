//! Guests, as the command line makes them: backends, kernels, disks.

pub(crate) mod authority;
pub(crate) mod backend;
pub(crate) mod cache;
pub(crate) mod kernel;
pub(crate) mod root;
pub(crate) mod secret;

use forger_vm::Error;

use crate::exit::Failure;
use crate::remedy;

/// What helps whoever has no guest.
const DOCTOR: &str = "forger doctor says what works here, and what does not";

/// Explains what went wrong around a guest.
pub(crate) fn failure(what: impl Into<String>, error: Error) -> Failure {
    let what = what.into();
    match error {
        Error::Block(error) => remedy::block(what, error),
        Error::Option { option, reason } => Failure::usage(format!("--{option}: {reason}")),
        error @ Error::Unusable { .. } => Failure::failed(what).because(error).help(DOCTOR),
        error => Failure::failed(what).because(error),
    }
}
