//! `forger run SOURCE [-- CMD…]`

mod args;
mod job;
mod named;
mod request;
mod results;
mod share;
mod terminal;

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use forger_fs::ext4::Image;
use forger_vm::proxy::Request;
use forger_vm::{Backend, Guest, Mounted, Options};

use crate::args::Global;
use crate::config::{self, Environment};
use crate::exit::Failure;
use crate::guest::kernel::Wish;
use crate::guest::{authority, backend, failure, root, secret};
use crate::input::Way;
use crate::output::Output;
use crate::progress::Console;
use crate::signals::Signals;

pub(crate) use args::Args;
use job::Done;
use results::Results;
use share::Shares;

/// How long connections may take to end once their guest has.
const SETTLING: Duration = Duration::from_secs(2);

/// Runs the command in a guest.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global).map_err(Failure::around_job)?;
    // What a killed guest leaves behind becomes ours, and is reaped.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let ran = boot_and_run(args, global, &mut console);
    match console.conclude(ran.map_err(Failure::around_job))? {
        0 => Ok(()),
        code => Err(Failure::job(code)),
    }
}

/// Returns the job's exit status.
fn boot_and_run(args: &Args, global: Global, console: &mut Console) -> Result<u8, Failure> {
    let begin = Instant::now();
    args.check()?;
    let results = Results::check(args, global)?;
    let named = args.source.named(args.first.as_ref())?;
    let named = named.ok_or_else(|| Failure::usage("SOURCE is missing").help(args::SHAPE))?;
    let (root, meant) = match named::is_name(args, &named) {
        Some(name) => {
            let pulled = named::pull(args, name, console)?;
            (pulled.root, pulled.kernel)
        }
        None => {
            let size = root::size(args.free);
            let way = Way::InPlace;
            let root = root::Planned::open(&named, &args.source, size, way, console)?;
            (root, None)
        }
    };
    console.say(&root.way);
    let wish = Wish {
        named: args.kernel.as_deref(),
        meant: meant.as_deref(),
        system: Image::open(Arc::clone(&root.base)).ok().map(Arc::new),
    };
    let chosen = backend::choose(args.backend, args.isolation, &wish)?;
    let backend = chosen.made.backend;
    console.detail(&format!("the guest's kernel is {}", chosen.made.kernel));
    if !chosen.passed_over.is_empty() {
        console.say(&format!("passed over {}", chosen.passed_over.join("; ")));
    }
    let authorities = authority::tar(&args.source.network.ca_file, &root.base)?;
    let shares = Shares::open(args, console)?;
    let secrets = secret::tar(&args.secret)?;
    let log = args
        .net_log
        .as_deref()
        .map(request::Log::create)
        .transpose()?;
    let options = options(args, &root, &shares, log.as_ref())?;
    if args.cpus > 1 && backend.name() == "uml" {
        console.say("User-Mode Linux has one processor: --cpus is passed over");
    }
    if backend.is_emulation() {
        console.say(
            "warning: the guest is emulated, without KVM: expect it to take 6 to 40 times as long as this machine",
        );
    }
    console.end_phase();
    let planned = begin.elapsed();
    let guest = boot(backend, options, console.signals())?;
    console.say(&format!(
        "the guest runs Linux {} by {}, kept from this machine by {}; its disks are {}",
        guest.kernel(),
        guest.backend(),
        guest.isolation(),
        guest.access()
    ));
    if let Some(tar) = &authorities {
        guest
            .put(authority::FOLDER, &tar[..])
            .map_err(|error| failure("cannot pass the authorities on", error))?;
    }
    if !args.secret.is_empty() {
        guest
            .put(secret::FOLDER, &secrets[..])
            .map_err(|error| failure("cannot pass the secrets on", error))?;
    }
    let started = Instant::now();
    let done = job::run(args, &guest, console.signals());
    let job = started.elapsed();
    for line in guest.take_log() {
        console.say(&format!("the guest says: {line}"));
    }
    let ended = match done? {
        Done::Ended(code) => Ok(code),
        Done::Late(limit) => {
            guest.kill();
            Err(Failure::late(format!(
                "the job took longer than {} s",
                limit.as_secs()
            )))
        }
    };
    let wanted = ended.is_ok() && (results.are_wanted() || shares.are_kept());
    let ending = Instant::now();
    if wanted || (args.timings && ended.is_ok()) {
        guest
            .shut_down()
            .map_err(|error| failure("cannot end the guest orderly", error))?;
    } else {
        // Nobody wants what it wrote.
        guest.kill();
    }
    let end = ending.elapsed();
    if let Some(fault) = root.fault() {
        console.say(&format!("the guest could not read its root: {fault}"));
    }
    say_requests(&guest, log.as_ref(), console)?;
    if wanted {
        results.make(&guest, &root, console)?;
        shares.keep(&guest, console.signals())?;
    }
    let code = ended?;
    if args.timings {
        let timings = guest.timings();
        say_timings(
            &[
                ("plan", Some(planned)),
                ("start", Some(timings.start)),
                ("entry", timings.entry),
                ("kernel", Some(timings.kernel)),
                ("setup", Some(timings.setup)),
                ("job", Some(job)),
                ("end", Some(end)),
                ("all", Some(begin.elapsed())),
            ],
            console,
        );
    }
    Ok(code)
}

/// Starts the guest; a signal ends that at once, and with this process whatever it started.
fn boot(backend: Box<dyn Backend>, options: Options, signals: &Signals) -> Result<Guest, Failure> {
    let (done, started) = channel();
    let thread = thread::Builder::new().name("start".to_owned());
    thread
        // Whoever waited may be gone.
        .spawn(move || drop(done.send(Guest::boot(&*backend, options))))
        .map_err(|error| Failure::failed("cannot start a thread").because(error))?;
    loop {
        match started.recv_timeout(job::TICK) {
            Ok(guest) => {
                return guest.map_err(|error| failure("cannot start the guest", error));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::failed("cannot start the guest"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(number) = signals.caught() {
            return Err(Failure::signal(number));
        }
    }
}

/// Says which requests were refused, and whether all were written down.
fn say_requests(
    guest: &Guest,
    log: Option<&request::Log>,
    console: &mut Console,
) -> Result<(), Failure> {
    guest.settle(SETTLING);
    let requests = guest.requests();
    let refused =
        |request: &&Request| matches!(request.status, Some(403 | 503)) && request.problem.is_some();
    let refused = requests.iter().filter(refused).count();
    if refused > 0 {
        console.say(&format!("{refused} requests of the guest were refused"));
    }
    let left_out = guest.requests_left_out();
    if left_out > 0 {
        console.say(&format!(
            "{left_out} further requests of the guest were not written down: they were too many"
        ));
    }
    log.map_or(Ok(()), request::Log::finish)
}

fn options(
    args: &Args,
    root: &root::Planned,
    shares: &Shares,
    log: Option<&request::Log>,
) -> Result<Options, Failure> {
    let now = (Environment::real().clock)();
    let seconds = u64::try_from(now.sec).unwrap_or(0);
    let mut mounts = shares.mounted()?;
    if !args.secret.is_empty() {
        mounts.push(Mounted {
            disk: None,
            target: secret::FOLDER.to_vec(),
        });
    }
    if !args.source.network.ca_file.is_empty() {
        mounts.push(Mounted {
            disk: None,
            target: authority::FOLDER.to_vec(),
        });
    }
    let mut options = Options {
        root: Some(root.disk(args.read_only)?),
        mounts,
        memory: args.memory,
        cpus: args.cpus,
        hostname: args.hostname.clone().into_bytes(),
        clock_ns: seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(now.nsec.into()),
        seed: config::random()
            .map_err(|error| Failure::failed("cannot read random bytes").because(error))?,
        proxy: args.proxy(log.map(request::Log::observer)),
        scratch: config::scratch_folder(),
        ..Options::default()
    };
    if let Some(path) = &args.guest_init {
        let init = std::fs::read(path).map_err(|error| {
            Failure::failed(format!("cannot read {}", path.display())).because(error)
        })?;
        options.init = init.into();
    }
    Ok(options)
}

/// Says how long parts took, as far as it is known.
fn say_timings(parts: &[(&str, Option<Duration>)], console: &mut Console) {
    let known = parts
        .iter()
        .filter_map(|(name, time)| Some(format!("{name} {:.3} s", (*time)?.as_secs_f64())));
    let known: Vec<String> = known.collect();
    console.say(&format!("timings: {}", known.join(", ")));
}

impl Args {
    /// Returns where an output goes, if one was asked for.
    fn output(&self, path: Option<&std::ffi::OsString>) -> Result<Option<Output>, Failure> {
        path.map(|path| Output::check(path, self.write)).transpose()
    }
}
