//! `cargo xtask test-kvm`: forger's own monitor on a KVM that works, wherever this runs.
//!
//! The tests of `tests/kvm.rs` run in the machine that `nested` makes: there the very program that `cargo xtask test`
//! runs, and the very `forger`, start machines on KVM with Debian's kernels.

use std::path::PathBuf;

use crate::Outcome;
use crate::nested::Nested;
use crate::step::{self, cargo};
use crate::suite::{self, target_dir};

/// A kernel whose image holds an ELF that is compressed with zstd.
const ZSTD: &str = "linux-image-6.12-cloud-amd64";

/// Kernels with which all tests run beside that of the outer machine: packages that name the newest of their kind.
const KERNELS: [&str; 3] = [ZSTD, "linux-image-amd64", "linux-image-6.12-amd64"];

/// What of the workspace runs there, in a selection that builds nothing a second time that `cargo xtask test` built.
const NEEDED: [&str; 6] = [
    "--workspace",
    "--locked",
    "--bin",
    "forger",
    "--test",
    "integration",
];

/// Runs the tests of machines on KVM, or those that are named.
pub(crate) fn run(filter: &[String]) -> Outcome {
    suite::install_tools()?;
    step::run("build", cargo(&["build"]).args(NEEDED))?;
    let nested = Nested::lay_out("test-kvm")?;
    for package in KERNELS {
        nested.add_kernel(package)?;
    }
    nested.add_uncompressed(ZSTD)?;
    nested.add_debian()?;
    nested.add_program(&program()?, "test/integration")?;
    nested.add_program(&target_dir().join("debug/forger"), "test/forger")?;
    let filter = match filter {
        [] => "kvm::".to_owned(),
        named => named.join(" "),
    };
    nested.run(&format!(
        "export FORGER_TEST_KERNELS=/kernels FORGER_TEST_ROOT=/root.ext4\n\
         export FORGER_BIN=/test/forger REQUIRE_TOOLS=0\n\
         /test/integration --test-threads=1 --nocapture {filter}\n"
    ))?;
    Ok(())
}

/// Returns the program with the integration tests.
fn program() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let build = cargo(&["build", "--message-format", "json"]).args(NEEDED);
    let said = build.dir(forger_tests::workspace()).try_output()?;
    let text = String::from_utf8_lossy(&said.stdout);
    let found = text.lines().find_map(|line| {
        let artifact: serde_json::Value = serde_json::from_str(line).ok()?;
        let wanted = artifact["target"]["name"] == "integration";
        let path = artifact["executable"].as_str().filter(|_| wanted)?;
        Some(PathBuf::from(path))
    });
    found.ok_or_else(|| format!("cargo names no program with the integration tests: {said}").into())
}
