//! The first program of a guest: it sets the system up, runs what the host asks for, and ends it.
//!
//! It is process 1 of a kernel that was started with an initial RAM disk made by forger. It speaks
//! with its host over one channel, and powers the machine off as soon as that channel ends.
//!
//! It has a second role, in the initial RAM disks that `forger disk` makes: there is no host then, and it only
//! loads modules, mounts the root and starts the program there that is the first one from then on.
#![deny(unsafe_code)]

mod channel;
mod device;
mod dispatch;
mod early;
mod gpt;
mod jobs;
mod loopback;
mod mbr;
mod power;
mod proxy;
mod root;
mod stream;
mod switch_root;
mod transfer;
mod user;

use std::io;
use std::process::ExitCode;

use forger_wire::Message;

use crate::channel::{Incoming, Outgoing};
use crate::dispatch::Dispatch;

fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!("forger-guest is the first process of a guest; forger run starts it in one");
        return ExitCode::from(2);
    }
    let modules = early::mount().map(|()| early::load_modules());
    let role = modules.and_then(|problems| Ok((early::Role::read()?, problems)));
    let ended = match role {
        Ok((early::Role::Guest(boot), problems)) => run(&boot, &problems),
        Ok((early::Role::Initrd(root), problems)) => {
            let error = root.switch(&problems);
            eprintln!("forger-guest: {error}");
            // The kernel stops, or starts again, as its command line says.
            return ExitCode::FAILURE;
        }
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        // The console is what is left to say it on.
        eprintln!("forger-guest: {error}");
    }
    power::off()
}

/// Serves the host until it has had enough, or is gone.
fn run(boot: &early::Boot, problems: &[String]) -> io::Result<()> {
    let (outgoing, mut incoming) = channel::open(boot)?;
    for problem in problems {
        outgoing.log(problem);
    }
    let served = serve(&outgoing, &mut incoming);
    if let Err(error) = &served {
        // A host that is gone cannot be told.
        let what = error.to_string();
        let _ = outgoing.send(0, &Message::Fault { what });
    }
    served
}

fn serve(outgoing: &Outgoing, incoming: &mut Incoming) -> io::Result<()> {
    let setup = early::greet(outgoing, incoming)?;
    let system = root::System::set_up(&setup, outgoing)?;
    let dispatch = Dispatch::new(outgoing.clone(), &setup)?;
    outgoing.send(0, &Message::SetUp)?;
    let ended = dispatch.serve(incoming);
    power::end_processes();
    system.tear_down(outgoing);
    if ended.is_ok() {
        outgoing.send(0, &Message::Bye)?;
        outgoing.drain();
    }
    ended
}
