//! The command while it runs: its output, its input, its end.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use forger_vm::{Ended, Event, Guest, Input, Job, MAX_DATA, Process};
use rustix::pipe::fcntl_setpipe_size;

use super::Args;
use super::terminal::{self, Raw};
use crate::config;
use crate::exit::Failure;
use crate::guest::authority::VARIABLES;
use crate::guest::failure;
use crate::signals::Signals;

/// How often signals, the time and the terminal's size are looked at.
pub(super) const TICK: Duration = Duration::from_millis(50);

/// How long the command may take to end once it was asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where programs are looked for, unless `--env PATH=…` says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How the command came to its end.
pub(super) enum Done {
    /// With this exit status.
    Ended(u8),
    /// It took too long.
    Late(Duration),
}

/// Runs the command to its end.
pub(super) fn run(args: &Args, guest: &Guest, signals: &Signals) -> Result<Done, Failure> {
    let job = job(args, guest)?;
    let failed = |error| failure("cannot run the command", error);
    let process = guest.run(&job).map_err(failed)?;
    let _raw = match args.tty && args.interactive {
        true => Raw::enter()?,
        false => None,
    };
    if args.interactive {
        feed(process.input())?;
    }
    let started = Instant::now();
    let mut size = job.terminal;
    loop {
        if let Some(number) = signals.caught() {
            stop(&process, guest, number);
            return Err(Failure::signal(number));
        }
        if let Some(limit) = args.timeout
            && started.elapsed() > limit
        {
            return Ok(Done::Late(limit));
        }
        if size.is_some() && size != Some(terminal::size()) {
            let now = terminal::size();
            size = Some(now);
            process.resize(now).map_err(failed)?;
        }
        match process.next_within(TICK).map_err(failed)? {
            Some(Event::Stdout(bytes)) => {
                write(io::stdout().lock(), &bytes, "standard output")?;
            }
            Some(Event::Stderr(bytes)) => write(io::stderr().lock(), &bytes, "standard error")?,
            Some(Event::Exit(ended)) => return status(ended).map(Done::Ended),
            _ => {}
        }
    }
}

/// Describes the command to the guest.
fn job(args: &Args, guest: &Guest) -> Result<Job, Failure> {
    let mut argv: Vec<Vec<u8>> = args
        .command
        .iter()
        .map(|word| word.as_bytes().to_vec())
        .collect();
    if argv.is_empty() {
        argv.push(b"/bin/sh".to_vec());
    }
    let mut env = vec![format!("PATH={PATH}")];
    if args.tty {
        env.push("TERM=xterm-256color".to_owned());
    }
    for (name, value) in guest.proxy_environment() {
        env.push(format!("{name}={value}"));
    }
    if !args.source.network.ca_file.is_empty() {
        let given = |name: &str| {
            args.env
                .iter()
                .any(|pair| pair.split('=').next() == Some(name))
        };
        let variables = VARIABLES.iter().filter(|(name, _)| !given(name));
        env.extend(variables.map(|(name, value)| format!("{name}={value}")));
    }
    for pair in &args.env {
        match pair.split_once('=') {
            Some(_) => env.push(pair.clone()),
            None => {
                if let Some(value) = config::passed_on(pair) {
                    env.push(format!("{pair}={}", value.to_string_lossy()));
                }
            }
        }
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_default().into_bytes();
    Ok(Job {
        argv,
        env: env.into_iter().map(String::into_bytes).collect(),
        cwd: text(&args.cwd),
        user: text(&args.user),
        stdin: args.interactive,
        terminal: args.tty.then(terminal::size),
        limits: Vec::new(),
    })
}

/// Passes standard input on, in the background.
fn feed(mut input: Input) -> Result<(), Failure> {
    std::thread::Builder::new()
        .name("standard input".to_owned())
        .spawn(move || {
            let mut piece = vec![0; MAX_DATA];
            let mut stdin = io::stdin().lock();
            // What is no pipe, or stays narrow, comes in smaller pieces.
            let _ = fcntl_setpipe_size(io::stdin(), MAX_DATA * 4);
            // The command may end before it has read everything.
            while let Ok(len @ 1..) = stdin.read(&mut piece) {
                if input.write_all(&piece[..len]).is_err() {
                    return;
                }
            }
        })
        .map(drop)
        .map_err(|error| Failure::failed("cannot start a thread").because(error))
}

/// Asks the command to end, and ends the guest whether it does or not.
fn stop(process: &Process, guest: &Guest, number: u8) {
    // Whatever fails here, the guest ends below.
    let _ = process.signal(number);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match process.next_within(TICK) {
            Ok(Some(Event::Exit(_))) | Err(_) => break,
            _ => {}
        }
    }
    guest.kill();
}

fn write(mut to: impl Write, bytes: &[u8], name: &str) -> Result<(), Failure> {
    let written = to.write_all(bytes).and_then(|()| to.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::broken_pipe(),
        _ => Failure::failed(format!("cannot write to {name}")).because(error),
    })
}

/// Returns the exit status for an end, as shells and docker give it.
fn status(ended: Ended) -> Result<u8, Failure> {
    match ended {
        Ended::Code(code) => Ok(code),
        Ended::Signal(number) => Ok(number.saturating_add(128)),
        Ended::Failed { errno, what } => {
            let missing = rustix::io::Errno::NOENT.raw_os_error() == errno;
            Err(Failure::not_started(missing, what))
        }
    }
}
