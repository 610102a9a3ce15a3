//! `forger doctor`

use std::ffi::OsString;

use forger_vm::{Backend, Error, Event, Guest, Isolation, Job, Options};
use serde_json::json;

use crate::args::{Format, Global};
use crate::config::{self, Environment};
use crate::exit::Failure;
use crate::guest::backend::{self, Choice};
use crate::guest::kernel::{self, Found, Wish};
use crate::print::{self, Stream};

/// Says which guests this machine can run, and why not others
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Each backend is one line: whether it works, how far it keeps a guest from this machine, and why it
does not work where it does not. Nothing is believed for being there: a backend works if a guest
that it starts answers. KVM is tried with a small guest of its own first, once after each start of
this machine. A guest of qemu-tcg takes a while: where another backend works, it is tried only with
--all.

Then come the kernels that guests could get: those that are kept, and those of this machine.

With --output json there is one object a line: backend, works (null where it was not tried),
isolation, kernel, seconds (until a job ran) and reason; for kernels kernel (where it is), path,
release, format, arch and modules.

Examples:
  forger doctor
  forger doctor --all --output json

Exit status: 0 when a backend works, 1 when none does, 2 wrong usage.")]
pub(crate) struct Args {
    /// The kernel to try: a file, or the name of one that is kept [default: as forger kernel --help says]
    #[arg(long, value_name = "FILE|NAME")]
    kernel: Option<OsString>,

    /// Starts a guest of qemu-tcg even where another backend works
    #[arg(long)]
    all: bool,
}

/// What was found out about one backend.
struct Finding {
    backend: &'static str,
    isolation: Option<Isolation>,
    outcome: Outcome,
}

enum Outcome {
    /// A guest of this kernel ran a job after so many seconds.
    Works(String, f64),
    /// It does not work, for this reason.
    Fails(String),
    /// All that it needs is there, but no guest was started.
    Untried,
}

/// Tries each backend, then says which kernels there are.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let wish = Wish {
        named: args.kernel.as_deref(),
        ..Wish::default()
    };
    let mut works = false;
    for choice in backend::ORDER {
        let quick = works && !args.all;
        let finding = Finding::about(choice, &wish, quick);
        works |= matches!(finding.outcome, Outcome::Works(..));
        print::result(Stream::Stdout, &finding.shown(global.output))?;
    }
    for found in kernel::listed()? {
        let shown = match found {
            Ok(found) => kernel_shown(&found, global.output),
            Err(failure) => kernel_problem(&failure, global.output),
        };
        print::result(Stream::Stdout, &shown)?;
    }
    match works {
        true => Ok(()),
        false => Err(Failure::failed("no backend works here")),
    }
}

impl Finding {
    /// Starts a guest without a disk and lets it answer; not one that is emulated where it shall be quick.
    fn about(choice: Choice, wish: &Wish<'_>, quick: bool) -> Self {
        let made = choice.make(wish);
        let isolation = made.as_ref().ok().map(|made| made.backend.isolation());
        let outcome = match made {
            Err(failure) => Outcome::Fails(failure.in_short()),
            Ok(made) if quick && made.backend.is_emulation() => Outcome::Untried,
            Ok(made) => match answer(&*made.backend) {
                Ok((kernel, seconds)) => Outcome::Works(kernel, seconds),
                Err(error) => Outcome::Fails(reason(error)),
            },
        };
        Self {
            backend: choice.name(),
            isolation,
            outcome,
        }
    }
}

/// Says why a backend does not work, without its name.
fn reason(error: Error) -> String {
    match error {
        Error::Unusable { reason, .. } => reason,
        error => error.to_string(),
    }
}

fn answer(backend: &dyn Backend) -> Result<(String, f64), Error> {
    backend.check()?;
    let now = (Environment::real().clock)();
    let options = Options {
        memory: 256 << 20,
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

/// Shows what is wrong with a kernel that is kept.
fn kernel_problem(failure: &Failure, format: Format) -> String {
    match format {
        Format::Json => print::json_line(&json!({ "kernel": null, "reason": failure.line() })),
        Format::Text => format!("{:9} {}\n", "kernel", failure.line()),
    }
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
            Format::Json => self.as_json(),
            Format::Text => self.as_text(),
        }
    }

    fn as_json(&self) -> String {
        let (works, kernel, seconds, reason) = match &self.outcome {
            Outcome::Works(kernel, seconds) => (Some(true), Some(kernel), Some(seconds), None),
            Outcome::Fails(reason) => (Some(false), None, None, Some(reason.as_str())),
            Outcome::Untried => (None, None, None, Some(UNTRIED)),
        };
        print::json_line(&json!({
            "backend": self.backend,
            "works": works,
            "isolation": self.isolation.map(|isolation| isolation.to_string()),
            "kernel": kernel,
            "seconds": seconds,
            "reason": reason,
        }))
    }

    fn as_text(&self) -> String {
        let isolation = self.isolation.map(|isolation| isolation.to_string());
        let isolation = isolation.unwrap_or_default();
        let said = match &self.outcome {
            Outcome::Works(kernel, seconds) => {
                format!(
                    "works: Linux {kernel}, isolation by {isolation}; a job ran after {seconds:.1} s"
                )
            }
            Outcome::Fails(reason) => format!("does not work: {reason}"),
            Outcome::Untried => format!("isolation by {isolation}; {UNTRIED}"),
        };
        format!("{:9} {said}\n", self.backend)
    }
}

/// Why nobody knows whether a backend works.
const UNTRIED: &str = "all that it needs is there; --all starts a guest, which takes a while";
