//! Machines that mean harm: their guest is a thread of the test, which says what it likes.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use forger_block::BlockRead;
use forger_wire::{Decoder, Ended, Job, MAX_DATA, Message, Ready, Side, VERSION, WINDOW};

use super::Guest;
use crate::backend::{Access, Backend, Instance, Isolation, Machine, Started};
use crate::cause::Cause;
use crate::console::Console;
use crate::error::{Error, Violation};
use crate::initramfs::Module;
use crate::options::Options;

/// What a guest does.
type Act = fn(&mut Line);

/// A backend whose guests do this.
#[derive(Debug)]
struct Hostile(Act);

/// The guest's end of the channel.
struct Line {
    stream: UnixStream,
    decoder: Decoder,
}

/// What is left of a machine that is a thread.
#[derive(Debug)]
struct Thread;

impl Backend for Hostile {
    fn name(&self) -> &'static str {
        "hostile"
    }

    fn isolation(&self) -> Isolation {
        Isolation::Process
    }

    fn probe(&self) -> Result<(), Error> {
        Ok(())
    }

    fn modules(&self) -> Result<Vec<Module>, Error> {
        Ok(Vec::new())
    }

    fn start(&self, _: Machine) -> Result<Started, Error> {
        let (channel, stream) = UnixStream::pair().unwrap();
        let act = self.0;
        thread::spawn(move || {
            let decoder = Decoder::new();
            act(&mut Line { stream, decoder });
        });
        Ok(Started {
            channel,
            ring: None,
            devices: Vec::new(),
            access: Access::Served,
            console: Console::default(),
            instance: Box::new(Thread),
        })
    }
}

impl Instance for Thread {
    fn kill(&self) {}

    fn wait(&self, _: Duration) -> bool {
        true
    }

    fn disk(&self, _: usize) -> Result<Arc<dyn BlockRead>, Error> {
        Err(Error::Stopped)
    }
}

impl Line {
    fn say(&mut self, stream: u32, message: &Message<'_>) {
        let mut frame = Vec::new();
        message.encode(stream, &mut frame);
        // The host may have had enough already.
        let _ = self.stream.write_all(&frame);
    }

    /// Hands every message to `act`, until the host is gone.
    fn hear(&mut self, mut act: impl FnMut(&mut Self, u32, &Message<'_>)) {
        let mut piece = [0; 64 << 10];
        while let Ok(len @ 1..) = self.stream.read(&mut piece) {
            self.decoder.push(&piece[..len]);
            let mut decoder = std::mem::take(&mut self.decoder);
            while let Ok(Some(frame)) = decoder.next_frame() {
                act(self, frame.stream, &frame.message().unwrap());
            }
            self.decoder = decoder;
        }
    }

    fn ready(&mut self, version: u16) {
        let ready = Ready {
            version,
            kernel: "6.1\u{1b}[2J".to_owned(),
            uptime_ms: 0,
            ring: 0,
        };
        self.say(0, &Message::Ready(ready));
    }

    /// Comes up as a guest should, then hands the host's messages to `act`.
    fn come_up(&mut self, mut act: impl FnMut(&mut Self, u32, &Message<'_>)) {
        self.ready(VERSION);
        self.hear(|line, stream, message| match message {
            Message::Hello(_) => {}
            Message::Setup(_) => line.say(0, &Message::SetUp),
            message => act(line, stream, message),
        });
    }
}

/// Tells whether an error is the one that should be.
type Expected = fn(&Error) -> bool;

fn boot(act: Act) -> Result<Guest, Error> {
    let options = Options {
        boot_limit: Duration::from_secs(20),
        silence_limit: Duration::from_secs(1),
        ..Options::default()
    };
    Guest::boot(&Hostile(act), options)
}

fn job() -> Job {
    Job {
        argv: vec![b"x".to_vec()],
        ..Job::default()
    }
}

#[test]
fn a_guest_that_comes_up_otherwise_than_it_should_is_none() {
    let protocol = |error: &Error| matches!(error, Error::Protocol { .. });
    let acts: [(Act, Expected); 7] = [
        (|_| {}, |error| matches!(error, Error::Lost { .. })),
        (
            |line| line.ready(VERSION + 1),
            |error| {
                let version = |source: &Violation| matches!(source, Violation::Version { .. });
                matches!(error, Error::Protocol { source, .. } if version(source))
            },
        ),
        (|line| line.say(0, &Message::SetUp), protocol),
        (
            |line| {
                line.ready(VERSION);
                line.ready(VERSION);
                line.hear(|_, _, _| {});
            },
            protocol,
        ),
        (
            |line| {
                line.ready(VERSION);
                line.say(0, &Message::Bye);
                line.hear(|_, _, _| {});
            },
            |error| matches!(error, Error::Protocol { .. } | Error::Lost { .. }),
        ),
        (
            |line| {
                line.ready(VERSION);
                let _ = line.stream.write_all(&[0xff; 1000]);
                line.hear(|_, _, _| {});
            },
            protocol,
        ),
        (
            |line| {
                let what = "\u{1b}[2Jno".to_owned();
                line.say(0, &Message::Fault { what });
            },
            |error| matches!(error, Error::Fault { what, .. } if what == "\u{fffd}[2Jno"),
        ),
    ];
    for (number, (act, expected)) in acts.into_iter().enumerate() {
        let error = boot(act).unwrap_err();
        assert!(expected(&error), "{number}: {error:?}");
    }
}

#[test]
fn an_end_that_was_said_before_the_job_or_after_it_counts_for_none() {
    let guest = boot(|line| {
        let mut jobs = 0;
        line.come_up(|line, stream, message| {
            if !matches!(message, Message::Run(_)) {
                return;
            }
            jobs += 1;
            match jobs {
                1 => {
                    // The streams of jobs to come can be guessed.
                    for later in 0..10 {
                        line.say(stream + later * 2, &Message::Exit(Ended::Code(3)));
                    }
                    line.say(stream, &Message::Exit(Ended::Code(0)));
                }
                _ => {
                    let _ = line.stream.shutdown(std::net::Shutdown::Both);
                }
            }
        });
    });
    let guest = guest.unwrap();
    assert_eq!(guest.kernel(), "6.1[2J");
    let first = guest.run(&job()).unwrap();
    assert_eq!(first.output(1000).unwrap().0, Ended::Code(3));
    let second = guest.run(&job()).unwrap();
    let error = second.output(1000).unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
}

#[test]
fn a_guest_that_gives_no_sign_of_life_is_ended_and_that_is_said() {
    let guest = boot(|line| line.come_up(|_, _, _| {})).unwrap();
    let begun = Instant::now();
    let error = guest.run(&job()).unwrap().output(1000).unwrap_err();
    let silent = |cause: &Cause| matches!(cause, Cause::Silence(_));
    assert!(
        matches!(&error, Error::Lost { cause, .. } if silent(cause)),
        "{error:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(30));
}

/// Takes so many bytes and no more.
struct Bounded(usize);

impl Write for Bounded {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(buf.len())
            .ok_or(io::ErrorKind::StorageFull)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_tar_without_end_stops_where_its_reader_has_had_enough_and_jobs_go_on() {
    let guest = boot(|line| {
        let zeros = vec![0; MAX_DATA];
        let flood = move |line: &mut Line, stream, mut credit: u32| {
            while let Ok(len @ 1..) = usize::try_from(credit).map(|credit| credit.min(MAX_DATA)) {
                let bytes = &zeros[..len];
                line.say(
                    stream,
                    &Message::Data {
                        side: Side::Stdout,
                        bytes,
                    },
                );
                credit -= u32::try_from(len).unwrap();
            }
        };
        line.come_up(move |line, stream, message| match message {
            Message::Get { .. } => flood(line, stream, WINDOW),
            Message::Credit { bytes } => flood(line, stream, *bytes),
            Message::Run(_) => line.say(stream, &Message::Exit(Ended::Code(5))),
            _ => {}
        });
    });
    let guest = guest.unwrap();
    let error = guest.get(b"/", &mut Bounded(20 << 20)).unwrap_err();
    assert!(matches!(error, Error::Host { .. }), "{error:?}");
    let process = guest.run(&job()).unwrap();
    assert_eq!(process.output(1000).unwrap().0, Ended::Code(5));
}

#[test]
fn a_transfer_that_goes_nowhere_ends() {
    let guest = boot(|line| line.come_up(|_, _, _| {})).unwrap();
    let start = Instant::now();
    let late = |error: &Error| matches!(error, Error::Late { seconds: 1, .. });
    let error = guest.put(b"/x", &vec![0; 3 << 20][..]).unwrap_err();
    assert!(late(&error), "{error:?}");
    let error = guest.get(b"/x", &mut Bounded(0)).unwrap_err();
    assert!(late(&error), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
}
