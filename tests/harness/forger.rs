//! The program under test.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::process::Run;

/// Returns the path of the `forger` binary: `FORGER_BIN`, or what cargo builds of this tree.
///
/// # Panics
/// When there is none, or cargo cannot build it.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("FORGER_BIN") {
        Some(path) => {
            let path = PathBuf::from(path);
            assert!(path.is_file(), "FORGER_BIN={} is no file", path.display());
            path
        }
        None => built(&["--package", "forger", "--bin", "forger"], "forger"),
    })
}

/// Prepares to run forger in the environment of the test.
pub fn forger() -> Run {
    Run::new(binary())
}

/// Returns the path of a package's example: beside the binary that `FORGER_BIN` names, where all was built
/// together, or what cargo builds of this tree.
///
/// # Panics
/// When cargo cannot build it.
#[must_use]
pub fn example(package: &str, name: &str) -> PathBuf {
    let product = format!("examples/{name}");
    let binary = std::env::var_os("FORGER_BIN").map(PathBuf::from);
    let beside = binary.and_then(|binary| Some(binary.parent()?.join(&product)));
    if let Some(beside) = beside.filter(|path| path.is_file()) {
        return beside;
    }
    built(&["--package", package, "--example", name], &product)
}

/// Builds a program (at once when it is fresh) with the profile of this test.
fn built(what: &[&str], product: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    // target/PROFILE/deps/integration-HASH
    let folder = test
        .ancestors()
        .nth(2)
        .expect("a test lies in target/PROFILE/deps");
    let profile = if folder.ends_with("debug") {
        "dev"
    } else {
        "release"
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Run::new(cargo)
        .args(["build", "--quiet", "--profile", profile])
        .args(what)
        .dir(crate::workspace())
        .limit(600)
        .ok();
    let path = folder.join(product);
    assert!(
        path.is_file(),
        "cargo built it, but {} is missing",
        path.display()
    );
    path
}
