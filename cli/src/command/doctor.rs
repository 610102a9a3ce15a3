//! `forger doctor`

use std::ffi::OsString;

use forger_vm::{Backend, Error, Event, Guest, Job, Options};
use serde_json::json;

use crate::args::{Format, Global};
use crate::config::{self, Environment};
use crate::exit::Failure;
use crate::guest::backend;
use crate::guest::kernel::{self, Found, Wish};
use crate::print::{self, Stream};

/// Says which guests this machine can run, and why not others
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Each backend is one line: whether it works, how far it keeps a guest from this machine, and why it does
not work where it does not. Nothing is believed for being there: a backend works if a guest that it
starts answers.

Then come the kernels that guests could get: those that are kept, and those of this machine.

With --output json there is one object a line: backend, works, isolation, kernel, seconds (until a job
ran) and reason; for kernels kernel (where it is), path, release, format, arch and modules.

Examples:
  forger doctor
  forger doctor --output json

Exit status: 0 when a backend works, 1 when none does, 2 wrong usage.")]
pub(crate) struct Args {
    /// The kernel to try: a file, or the name of one that is kept [default: as forger kernel --help says]
    #[arg(long, value_name = "FILE|NAME")]
    kernel: Option<OsString>,
}

/// What was found out about one backend.
struct Finding {
    backend: &'static str,
    isolation: Option<String>,
    kernel: Option<String>,
    seconds: Option<f64>,
    reason: Option<String>,
}

/// Tries each backend.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let wish = Wish {
        named: args.kernel.as_deref(),
        ..Wish::default()
    };
    let findings = [
        missing(
            "kvm",
            "this version of forger has no microVM of its own yet",
        ),
        missing("qemu", "this version of forger does not drive QEMU yet"),
        match backend::uml(&wish) {
            Ok(uml) => examine(&uml, || uml.check_ptrace()),
            Err(failure) => missing("uml", &failure.in_short()),
        },
        missing("qemu-tcg", "this version of forger does not drive QEMU yet"),
    ];
    let mut text: String = findings
        .iter()
        .map(|finding| finding.shown(global.output))
        .collect();
    for found in kernel::listed()? {
        text.push_str(&kernel_shown(&found, global.output));
    }
    print::result(Stream::Stdout, &text)?;
    match findings.iter().any(|finding| finding.reason.is_none()) {
        true => Ok(()),
        false => Err(Failure::failed("no backend works here")),
    }
}

fn missing(backend: &'static str, reason: &str) -> Finding {
    Finding {
        backend,
        isolation: None,
        kernel: None,
        seconds: None,
        reason: Some(reason.to_owned()),
    }
}

/// Starts a guest without a disk and lets it answer.
fn examine(backend: &dyn Backend, check: impl FnOnce() -> Result<(), Error>) -> Finding {
    let tried = check().and_then(|()| answer(backend));
    let (kernel, seconds, reason) = match tried {
        Ok((kernel, seconds)) => (Some(kernel), Some(seconds), None),
        Err(error) => (None, None, Some(error.to_string())),
    };
    Finding {
        backend: backend.name(),
        isolation: Some(backend.isolation().to_string()),
        kernel,
        seconds,
        reason,
    }
}

fn answer(backend: &dyn Backend) -> Result<(String, f64), Error> {
    let now = (Environment::real().clock)();
    let options = Options {
        memory: 64 << 20,
        clock_ns: u64::try_from(now.sec)
            .unwrap_or(0)
            .saturating_mul(1_000_000_000),
        scratch: config::scratch_folder(),
        ..Options::default()
    };
    let begin = std::time::Instant::now();
    let guest = Guest::boot(backend, options)?;
    // The guest's own program is there in any case; as no first process it only explains itself.
    let process = guest.run(&Job {
        argv: vec![b"/init".to_vec()],
        ..Job::default()
    })?;
    while !matches!(process.next()?, Event::Exit(_)) {}
    let seconds = begin.elapsed().as_secs_f64();
    let kernel = guest.kernel().to_owned();
    guest.shut_down()?;
    Ok((kernel, seconds))
}

/// Shows a kernel that a guest could get.
fn kernel_shown(found: &Found, format: Format) -> String {
    let Found { kernel, place } = found;
    let image = &kernel.image;
    match format {
        Format::Json => print::json_line(&json!({
            "kernel": place,
            "path": kernel.path.to_string_lossy(),
            "release": image.release,
            "format": image.format.to_string(),
            "arch": image.architecture.to_string(),
            "modules": kernel.modules.is_some(),
        })),
        Format::Text => {
            let release = image.release.as_deref().unwrap_or("of an unknown release");
            let modules = match kernel.modules {
                Some(_) => "with modules",
                None => "without modules",
            };
            format!(
                "{:9} {place}: Linux {release}, {} for {}, {modules}\n",
                "kernel", image.format, image.architecture
            )
        }
    }
}

impl Finding {
    fn shown(&self, format: Format) -> String {
        match format {
            Format::Json => print::json_line(&json!({
                "backend": self.backend,
                "works": self.reason.is_none(),
                "isolation": self.isolation,
                "kernel": self.kernel,
                "seconds": self.seconds,
                "reason": self.reason,
            })),
            Format::Text => {
                let name = self.backend;
                match (&self.reason, &self.isolation, &self.kernel) {
                    (None, Some(isolation), Some(kernel)) => {
                        let seconds = self.seconds.unwrap_or_default();
                        format!(
                            "{name:9} works: Linux {kernel}, isolation by {isolation}; a job ran after {seconds:.1} s\n"
                        )
                    }
                    (reason, ..) => {
                        let reason = reason.as_deref().unwrap_or("nobody knows why");
                        format!("{name:9} does not work: {reason}\n")
                    }
                }
            }
        }
    }
}
