//! `--layout FILE|DIR`

use std::fs;
use std::path::Path;

use forger::layout::repart::{self, Definition};
use forger::layout::{Dump, Error, sfdisk};

use crate::exit::Failure;

/// A layout that stands in a file.
pub(super) enum Layout {
    Dump(Dump),
    Definitions(Vec<Definition>),
}

/// The largest file of a layout, in bytes.
const LIMIT: u64 = 4 << 20;

/// Reads a layout.
///
/// # Errors
/// What cannot be read, or is not known.
pub(super) fn read(path: &Path) -> Result<Layout, Failure> {
    let failed = || Failure::failed(format!("cannot take the layout {}", path.display()));
    let io = |error: std::io::Error| failed().because(error);
    if !fs::metadata(path).map_err(io)?.is_dir() {
        let dump = sfdisk(&text(path).map_err(io)?).map_err(|error| refused(path, error))?;
        return Ok(Layout::Dump(dump));
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        files.extend(
            name.into_string()
                .ok()
                .filter(|name| name.ends_with(".conf")),
        );
    }
    // As systemd-repart does: in the order of their names.
    files.sort();
    if files.is_empty() {
        return Err(failed().because("the folder has no files *.conf"));
    }
    let mut definitions = Vec::new();
    for name in files {
        let text = text(&path.join(&name)).map_err(io)?;
        let definition = repart::parse(&name, &text);
        definitions.push(definition.map_err(|error| refused(path, error))?);
    }
    Ok(Layout::Definitions(definitions))
}

fn text(path: &Path) -> std::io::Result<String> {
    if fs::metadata(path)?.len() > LIMIT {
        return Err(std::io::Error::other("it is larger than 4 MiB"));
    }
    fs::read_to_string(path)
}

/// Explains why a layout was not taken.
pub(super) fn refused(path: &Path, error: Error) -> Failure {
    let help = match &error {
        Error::TooSmall { needed, .. } => {
            Some(format!("--size {}M is enough", needed.div_ceil(1 << 20)))
        }
        Error::Json(_) => Some("a folder holds definitions of repart.d".to_owned()),
        _ => None,
    };
    Failure::failed(format!("cannot take the layout {}", path.display()))
        .because(error)
        .help_if(help)
}
