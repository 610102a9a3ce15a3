//! What the two ends say to each other.

use crate::error::WireError;
use crate::field::{Fields, Put};
use crate::frame;
use crate::job::{Ended, Job, Terminal};
use crate::setup::{Hello, Ready, Setup};

/// One message; which end sends it stands with each.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message<'a> {
    /// Guest: it is there, and the host may write.
    Ready(Ready),
    /// Host: the answer to [`Ready`](Self::Ready).
    Hello(Hello),
    /// Host: what to set up.
    Setup(Setup),
    /// Guest: that is done.
    SetUp,
    /// Guest: something failed that leaves the guest useless.
    Fault {
        /// What and why.
        what: String,
    },
    /// Host: starts a job on a new stream.
    Run(Box<Job>),
    /// Guest: the job of this stream runs.
    Started {
        /// Its process id in the guest.
        pid: u32,
    },
    /// Both: a piece of content on one side of a stream, within the credit.
    Data {
        /// Which side.
        side: Side,
        /// The content.
        bytes: &'a [u8],
    },
    /// Both: a side of a stream has ended.
    Close {
        /// Which side.
        side: Side,
    },
    /// Both: so many more bytes may be sent on a stream.
    Credit {
        /// How many.
        bytes: u32,
    },
    /// Guest: the job has ended and all of its output is out. The stream is over.
    Exit(Ended),
    /// Host: the job's terminal has a new size.
    Resize(Terminal),
    /// Host: sends a signal to the job and all that it started in its session.
    Signal {
        /// The signal's number.
        number: u8,
    },
    /// Host: asks for what is at a path, as a tar on a new stream.
    Get {
        /// The path in the guest.
        path: Vec<u8>,
    },
    /// Host: announces a tar on a new stream, to unpack into a folder.
    Put {
        /// The folder in the guest; it is made where it is missing.
        path: Vec<u8>,
    },
    /// Guest: a transfer has ended. The stream is over.
    Done {
        /// Why it failed; empty for success.
        error: String,
    },
    /// Guest: somebody connected to the proxy's port; a new stream.
    Connect,
    /// Both: the connection of this stream is over, whatever is on the way.
    Reset,
    /// Host: asks for a sign of life.
    Ping {
        /// Comes back in the answer.
        token: u64,
    },
    /// Guest: the answer.
    Pong {
        /// What was asked with.
        token: u64,
    },
    /// Host: asks the guest to end orderly.
    Shutdown,
    /// Guest: all filesystems are in order; nothing follows.
    Bye,
    /// Guest: a line for the log.
    Log {
        /// The line.
        text: String,
    },
    /// Host: the next bytes of the channel lie in the ring device.
    Elsewhere {
        /// Where, in bytes.
        offset: u64,
        /// How many.
        len: u32,
    },
    /// Guest: so many bytes of the ring device were taken and may be overwritten.
    Taken {
        /// How many.
        len: u32,
    },
}

/// The sides of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Towards the guest: standard input, a tar to unpack, what a server answers.
    Stdin,
    /// Towards the host: standard output, a tar that was asked for, what a client asks.
    Stdout,
    /// Towards the host: standard error.
    Stderr,
}

impl Side {
    fn number(self) -> u8 {
        match self {
            Self::Stdin => 0,
            Self::Stdout => 1,
            Self::Stderr => 2,
        }
    }

    fn take(fields: &mut Fields<'_>) -> Result<Self, WireError> {
        match fields.u8()? {
            0 => Ok(Self::Stdin),
            1 => Ok(Self::Stdout),
            2 => Ok(Self::Stderr),
            _ => Err(fields.wrong("side")),
        }
    }
}

impl<'a> Message<'a> {
    /// Returns the number of the message's kind.
    fn kind(&self) -> u8 {
        match self {
            Self::Ready(_) => 1,
            Self::Hello(_) => 2,
            Self::Setup(_) => 3,
            Self::SetUp => 4,
            Self::Fault { .. } => 5,
            Self::Run(_) => 10,
            Self::Started { .. } => 11,
            Self::Data { .. } => 12,
            Self::Close { .. } => 13,
            Self::Credit { .. } => 14,
            Self::Exit(_) => 15,
            Self::Resize(_) => 16,
            Self::Signal { .. } => 17,
            Self::Get { .. } => 20,
            Self::Put { .. } => 21,
            Self::Done { .. } => 22,
            Self::Connect => 30,
            Self::Reset => 31,
            Self::Ping { .. } => 40,
            Self::Pong { .. } => 41,
            Self::Shutdown => 42,
            Self::Bye => 43,
            Self::Log { .. } => 44,
            Self::Elsewhere { .. } => 50,
            Self::Taken { .. } => 51,
        }
    }

    /// Appends the message as a frame of a stream.
    pub fn encode(&self, stream: u32, out: &mut Vec<u8>) {
        frame::append(out, self.kind(), stream, |out| self.put(out));
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ready(ready) => ready.put(out),
            Self::Hello(hello) => hello.put(out),
            Self::Setup(setup) => setup.put(out),
            Self::SetUp | Self::Connect | Self::Reset | Self::Shutdown | Self::Bye => {}
            Self::Fault { what: text } | Self::Done { error: text } | Self::Log { text } => {
                out.put_bytes(text.as_bytes());
            }
            Self::Run(job) => job.put(out),
            Self::Started { pid: number } | Self::Credit { bytes: number } => out.put_u32(*number),
            Self::Data { side, bytes } => {
                out.put_u8(side.number());
                out.extend_from_slice(bytes);
            }
            Self::Close { side } => out.put_u8(side.number()),
            Self::Exit(ended) => ended.put(out),
            Self::Resize(terminal) => terminal.put(out),
            Self::Signal { number } => out.put_u8(*number),
            Self::Get { path } | Self::Put { path } => out.put_bytes(path),
            Self::Ping { token } | Self::Pong { token } => out.put_u64(*token),
            Self::Elsewhere { offset, len } => {
                out.put_u64(*offset);
                out.put_u32(*len);
            }
            Self::Taken { len } => out.put_u32(*len),
        }
    }

    /// Reads the message of a frame.
    ///
    /// # Errors
    /// A kind that is not known, fields that are too short or too long, values that cannot be.
    pub fn decode(kind: u8, payload: &'a [u8]) -> Result<Self, WireError> {
        let mut fields = Fields::new(kind, payload);
        let message = Self::take(kind, &mut fields)?;
        fields.end()?;
        Ok(message)
    }

    fn take(kind: u8, fields: &mut Fields<'a>) -> Result<Self, WireError> {
        Ok(match kind {
            1 => Self::Ready(Ready::take(fields)?),
            2 => Self::Hello(Hello::take(fields)?),
            3 => Self::Setup(Setup::take(fields)?),
            4 => Self::SetUp,
            5 => Self::Fault {
                what: fields.text()?,
            },
            10 => Self::Run(Box::new(Job::take(fields)?)),
            11 => Self::Started { pid: fields.u32()? },
            12 => Self::Data {
                side: Side::take(fields)?,
                bytes: fields.rest(),
            },
            13 => Self::Close {
                side: Side::take(fields)?,
            },
            14 => Self::Credit {
                bytes: fields.u32()?,
            },
            15 => Self::Exit(Ended::take(fields)?),
            16 => Self::Resize(Terminal::take(fields)?),
            17 => Self::Signal {
                number: match fields.u8()? {
                    number @ 1..=64 => number,
                    _ => return Err(fields.wrong("signal")),
                },
            },
            20 => Self::Get {
                path: fields.bytes()?.to_vec(),
            },
            21 => Self::Put {
                path: fields.bytes()?.to_vec(),
            },
            22 => Self::Done {
                error: fields.text()?,
            },
            30 => Self::Connect,
            31 => Self::Reset,
            40 => Self::Ping {
                token: fields.u64()?,
            },
            41 => Self::Pong {
                token: fields.u64()?,
            },
            42 => Self::Shutdown,
            43 => Self::Bye,
            44 => Self::Log {
                text: fields.text()?,
            },
            50 => Self::Elsewhere {
                offset: fields.u64()?,
                len: fields.u32()?,
            },
            51 => Self::Taken { len: fields.u32()? },
            kind => return Err(WireError::Kind { kind }),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::job::{Limit, Resource};
    use crate::setup::{Filesystem, Mount};

    fn every_message() -> Vec<Message<'static>> {
        let job = Job {
            argv: vec![b"sh".to_vec(), b"-c".to_vec(), vec![]],
            env: vec![b"A=b".to_vec()],
            cwd: b"/srv".to_vec(),
            user: b"www-data:adm".to_vec(),
            stdin: true,
            terminal: Some(Terminal {
                rows: 24,
                columns: 80,
            }),
            limits: vec![Limit {
                resource: Resource::Core,
                value: u64::MAX,
            }],
        };
        let setup = Setup {
            hostname: b"guest".to_vec(),
            mounts: vec![Mount {
                filesystem: Filesystem::Ext4,
                device: b"/dev/vda".to_vec(),
                target: b"/".to_vec(),
                read_only: true,
            }],
            proxy_port: 3128,
            privileged: false,
        };
        let failed = Ended::Failed {
            errno: 2,
            what: "cannot start x".to_owned(),
        };
        let text = || "text".to_owned();
        vec![
            Message::Ready(Ready {
                version: 1,
                kernel: "6.1".to_owned(),
                uptime_ms: 5,
                ring: 1 << 22,
            }),
            Message::Hello(Hello {
                version: 1,
                clock_ns: 1 << 60,
                seed: vec![1; 64],
            }),
            Message::Setup(setup),
            Message::SetUp,
            Message::Fault { what: text() },
            Message::Run(Box::new(job)),
            Message::Started { pid: 77 },
            Message::Data {
                side: Side::Stderr,
                bytes: b"out",
            },
            Message::Close { side: Side::Stdin },
            Message::Credit { bytes: 4096 },
            Message::Exit(Ended::Code(255)),
            Message::Exit(Ended::Signal(9)),
            Message::Exit(failed),
            Message::Resize(Terminal {
                rows: 1,
                columns: 2,
            }),
            Message::Signal { number: 15 },
            Message::Get {
                path: b"/etc".to_vec(),
            },
            Message::Put {
                path: b"/srv".to_vec(),
            },
            Message::Done { error: text() },
            Message::Connect,
            Message::Reset,
            Message::Ping { token: 1 },
            Message::Pong { token: 1 },
            Message::Shutdown,
            Message::Bye,
            Message::Log { text: text() },
            Message::Elsewhere {
                offset: 512,
                len: 9,
            },
            Message::Taken { len: 9 },
        ]
    }

    fn payload(message: &Message<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        message.put(&mut out);
        out
    }

    #[test]
    fn every_message_comes_back_as_it_was() {
        for message in every_message() {
            let bytes = payload(&message);
            assert_eq!(Message::decode(message.kind(), &bytes), Ok(message));
        }
    }

    #[test]
    fn a_message_that_is_cut_short_or_too_long_is_refused() {
        for message in every_message() {
            if matches!(message, Message::Data { .. }) {
                continue;
            }
            let kind = message.kind();
            let mut bytes = payload(&message);
            for len in 0..bytes.len() {
                assert!(Message::decode(kind, &bytes[..len]).is_err(), "{message:?}");
            }
            bytes.push(0);
            let long = Err(WireError::Long { kind, extra: 1 });
            assert_eq!(Message::decode(kind, &bytes), long);
        }
    }

    #[test]
    fn zero_bytes_in_arguments_are_refused() {
        let job = Job {
            argv: vec![b"a\0b".to_vec()],
            ..Job::default()
        };
        let bytes = payload(&Message::Run(Box::new(job)));
        assert!(Message::decode(10, &bytes).is_err());
    }

    proptest! {
        #[test]
        fn any_payload_is_read_without_a_panic_and_what_is_read_is_written_the_same(
            kind in 0_u8..60,
            payload in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Ok(message) = Message::decode(kind, &payload) {
                // Texts are decoded with replacement; everything else is kept to the byte.
                let again = self::payload(&message);
                let same = Message::decode(kind, &again);
                prop_assert_eq!(same, Ok(message));
            }
        }
    }
}
