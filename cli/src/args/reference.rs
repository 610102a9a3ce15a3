//! References to images in registries, where nothing else can be meant.

use forger_oci::Reference;

use crate::exit::Failure;

/// Reads a reference, with or without `oci://` before it.
///
/// # Errors
/// Wrong usage.
pub(crate) fn parse(typed: &str) -> Result<Reference, Failure> {
    let bare = typed
        .strip_prefix("oci://")
        .or(typed.strip_prefix("docker://"));
    let parsed = bare.unwrap_or(typed).parse();
    parsed.map_err(|error: forger_oci::Error| {
        Failure::usage(format!("{typed:?} names no image of a registry")).because(error)
    })
}
