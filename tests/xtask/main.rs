//! `cargo xtask`: the project's own chores. Without arguments it lists them.

mod bench;
mod ci;
mod full;
mod fuzz;
mod iotests;
mod nested;
mod step;
mod suite;
mod test_kvm;
mod testdata;

use std::process::ExitCode;

/// What a chore returns: nothing, or why it failed.
type Outcome = Result<(), Box<dyn std::error::Error>>;

const CHORES: &str = "\
usage: cargo xtask CHORE

  test             installs the tools that judge (root and apt), runs every test
  ci               what CI runs: fmt, clippy, doc, deny, fuzz targets for some seconds, test, test-kvm
  full             the long tests, many generated archives, long fuzzing, the bench
  bench [N] [small] forger against its peers, N rounds (default 5), on a small or large Debian; with
                   `inspect`, `convert`, `disk`, `edits`, `registry`, `guest` or `kvm` that part alone
  fuzz [SECONDS [TARGET]] builds the fuzz targets and runs each, or one, for so long (default 10)
  iotests [TEST..] QEMU's own tests of qcow2, with forger in the place of qemu-img's create and convert
  test-kvm [TEST..] machines on KVM, in an emulated machine that has it: no /dev/kvm is needed here
  testdata         makes testdata/ anew, the same bytes every time
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let chore = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    if chore == "qemu-img" {
        return iotests::shim(&rest);
    }
    let outcome = match (chore.as_str(), rest.as_slice()) {
        ("test", rest) => suite::run(rest),
        ("ci", []) => ci::run(),
        ("full", []) => full::run(),
        ("bench", rest) => bench::run(rest),
        ("fuzz", []) => fuzz::run(10, None),
        ("fuzz", [seconds]) => parsed(seconds).and_then(|seconds| fuzz::run(seconds, None)),
        ("fuzz", [seconds, target]) => {
            parsed(seconds).and_then(|seconds| fuzz::run(seconds, Some(target)))
        }
        ("iotests", only) => iotests::run(only),
        ("test-kvm", filter) => test_kvm::run(filter),
        ("testdata", []) => testdata::run(),
        // What the bench of machines on KVM does in the outer machine.
        (bench::INSIDE, rest) => bench::inside(rest),
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

fn parsed(seconds: &str) -> Result<u64, Box<dyn std::error::Error>> {
    Ok(seconds.parse()?)
}
