//! `cargo xtask`: the project's own chores. Without arguments it lists them.

mod testdata;

use std::process::ExitCode;

/// What a chore returns: nothing, or why it failed.
type Outcome = Result<(), Box<dyn std::error::Error>>;

const CHORES: &str = "\
usage: cargo xtask CHORE

  testdata   makes testdata/ anew, the same bytes every time
";

fn main() -> ExitCode {
    let chore = std::env::args().nth(1).unwrap_or_default();
    let outcome = match chore.as_str() {
        "testdata" => testdata::run(),
        _ => {
            print!("{CHORES}");
            return if chore.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            };
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {chore}: {error}");
            ExitCode::FAILURE
        }
    }
}
