//! One step of a chore: a child in the foreground that must succeed.

use forger_tests::process::Run;
use forger_tests::workspace;

use crate::Outcome;

/// Runs a child to its end; says before what it is, and fails when it does.
pub(crate) fn run(name: &str, child: Run) -> Outcome {
    eprintln!("=== {name}");
    let output = child.dir(workspace()).foreground().try_output()?;
    if output.status.success() {
        eprintln!("    {name}: {:.1} s", output.elapsed.as_secs_f64());
        return Ok(());
    }
    Err(format!("{name}: {}", output.status).into())
}

/// Prepares to run cargo.
pub(crate) fn cargo(args: &[&str]) -> Run {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // What cargo sets for this program must not leak into what that builds.
    Run::new(cargo).args(args).limit(1800)
}
