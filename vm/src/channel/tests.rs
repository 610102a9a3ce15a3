//! A guest that means harm.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use forger_wire::{Decoder, Ended, Job, Message, Side, WINDOW};

use super::{Channel, Item};
use crate::console::Console;
use crate::error::{Error, Violation};

/// The guest's end, and the host's.
struct Ends {
    guest: UnixStream,
    channel: Channel,
    arrivals: super::Arrivals,
}

fn ends() -> Ends {
    let (host, guest) = UnixStream::pair().unwrap();
    let limit = Some(Duration::from_secs(10));
    guest.set_read_timeout(limit).unwrap();
    guest.set_write_timeout(limit).unwrap();
    let (channel, arrivals) = Channel::open(host, None, Console::default()).unwrap();
    Ends {
        guest,
        channel,
        arrivals,
    }
}

impl Ends {
    fn say(&mut self, stream: u32, message: &Message<'_>) {
        let mut frame = Vec::new();
        message.encode(stream, &mut frame);
        // The host may have had enough already.
        let _ = self.guest.write_all(&frame);
    }

    fn job(&self) -> super::Inbox {
        let job = Job {
            argv: vec![b"x".to_vec()],
            ..Job::default()
        };
        self.channel.start(&Message::Run(Box::new(job))).unwrap()
    }

    /// Waits for the end and says why.
    fn end(&self) -> Error {
        assert!(
            self.channel.wait_for_end(Duration::from_secs(10)),
            "it goes on"
        );
        self.channel.lost("the end")
    }
}

#[track_caller]
fn assert_violation(error: &Error, expected: fn(&Violation) -> bool) {
    match error {
        Error::Protocol { source, .. } if expected(source) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn bytes_that_are_no_frames_end_the_guest() {
    let mut ends = ends();
    ends.say(0, &Message::SetUp);
    ends.guest.write_all(&[0xff; 64]).unwrap();
    assert_violation(&ends.end(), |v| matches!(v, Violation::Wire(_)));
}

#[test]
fn endless_noise_before_the_first_word_ends_the_guest() {
    let mut ends = ends();
    let piece = [b'x'; 64 << 10];
    while ends.guest.write_all(&piece).is_ok() {}
    assert_violation(&ends.end(), |v| matches!(v, Violation::Flood { .. }));
}

#[test]
fn more_output_than_there_is_credit_for_ends_the_guest() {
    let mut ends = ends();
    let inbox = ends.job();
    let piece = vec![0; 64 << 10];
    for _ in 0..=WINDOW / (64 << 10) {
        let data = Message::Data {
            side: Side::Stdout,
            bytes: &piece,
        };
        ends.say(inbox.id(), &data);
    }
    assert_violation(&ends.end(), |v| matches!(v, Violation::Overdrawn { .. }));
}

#[test]
fn a_flood_of_tiny_output_is_bounded_like_a_large_one() {
    let mut ends = ends();
    let inbox = ends.job();
    for _ in 0..5000 {
        let data = Message::Data {
            side: Side::Stderr,
            bytes: b"",
        };
        ends.say(inbox.id(), &data);
    }
    assert_violation(&ends.end(), |v| matches!(v, Violation::Overdrawn { .. }));
}

#[test]
fn an_exit_code_after_the_job_changes_nothing() {
    let mut ends = ends();
    let inbox = ends.job();
    ends.say(inbox.id(), &Message::Exit(Ended::Code(3)));
    ends.say(inbox.id(), &Message::Exit(Ended::Code(0)));
    ends.say(98, &Message::Exit(Ended::Code(0)));
    ends.say(0, &Message::Bye);
    let limit = Some(Duration::from_secs(10));
    assert_eq!(inbox.next(limit).unwrap(), Some(Item::Exit(Ended::Code(3))));
    assert!(inbox.next(limit).is_err());
}

#[test]
fn a_job_whose_guest_is_gone_has_no_exit_code() {
    let mut ends = ends();
    let inbox = ends.job();
    ends.say(inbox.id(), &Message::Started { pid: 9 });
    ends.guest.shutdown(std::net::Shutdown::Both).unwrap();
    let limit = Some(Duration::from_secs(10));
    assert_eq!(inbox.next(limit).unwrap(), Some(Item::Started(9)));
    assert!(inbox.next(limit).is_err());
    assert!(matches!(ends.end(), Error::Lost { .. }));
    assert!(ends.channel.start(&Message::Shutdown).is_err());
}

#[test]
fn a_flood_of_connections_is_bounded() {
    let mut ends = ends();
    for id in 0..2000 {
        ends.say(id * 2 + 1, &Message::Connect);
    }
    let expected = |v: &Violation| {
        matches!(
            v,
            Violation::Flood {
                what: "connections"
            }
        )
    };
    assert_violation(&ends.end(), expected);
    assert!(ends.arrivals.connections.try_iter().count() <= 512);
}

#[test]
fn streams_of_the_host_cannot_be_opened_by_the_guest() {
    let mut ends = ends();
    ends.say(4, &Message::Connect);
    assert_violation(&ends.end(), |v| matches!(v, Violation::Flood { .. }));
}

#[test]
fn messages_that_only_the_host_sends_end_the_guest() {
    for message in [
        Message::Shutdown,
        Message::Taken { len: 1 },
        Message::Close { side: Side::Stdin },
        Message::Ping { token: 1 },
    ] {
        let mut ends = ends();
        ends.say(0, &message);
        assert_violation(&ends.end(), |v| matches!(v, Violation::Misplaced { .. }));
    }
}

#[test]
fn an_endless_log_is_kept_to_its_limit_and_obeys_no_terminal() {
    let mut ends = ends();
    for _ in 0..3000 {
        let text = "\x1b[2J".repeat(100);
        ends.say(0, &Message::Log { text });
    }
    ends.say(0, &Message::Bye);
    ends.end();
    let log = ends.channel.take_log();
    assert_eq!(log.len(), super::MAX_LOG);
    assert!(log.iter().all(|line| !line.contains('\x1b')));
}

#[test]
fn content_waits_for_credit_and_arrives_whole() {
    let ends = ends();
    let inbox = ends.job();
    let mut outlet = inbox.outlet();
    let sent: Vec<u8> = (0..=250).cycle().take(3 << 20).collect();
    let expected = sent.clone();
    let writer = std::thread::spawn(move || outlet.write_all(&sent));
    let mut guest = ends.guest.try_clone().unwrap();
    let (mut decoder, mut got) = (Decoder::new(), Vec::new());
    let mut piece = [0; 16 << 10];
    let mut since = 0;
    while got.len() < expected.len() {
        let len = guest.read(&mut piece).unwrap();
        decoder.push(&piece[..len]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            if let Message::Data { bytes, .. } = frame.message().unwrap() {
                got.extend_from_slice(bytes);
                since += u32::try_from(bytes.len()).unwrap();
            }
        }
        // Never more on the way than there was credit for.
        assert!(since <= WINDOW);
        if since >= WINDOW / 2 {
            let mut frame = Vec::new();
            Message::Credit { bytes: since }.encode(inbox.id(), &mut frame);
            guest.write_all(&frame).unwrap();
            since = 0;
        }
    }
    assert!(got == expected);
    writer.join().unwrap().unwrap();
}
