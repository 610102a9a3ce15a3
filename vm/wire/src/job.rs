//! What a job is, and how it ended.

use crate::error::WireError;
use crate::field::{Fields, Put};

/// A command to run in the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// The program, looked up in the job's `PATH`, and its arguments.
    pub argv: Vec<Vec<u8>>,
    /// The whole environment, each `NAME=VALUE`.
    pub env: Vec<Vec<u8>>,
    /// The working folder; `/` when empty.
    pub cwd: Vec<u8>,
    /// Whom it runs as: `USER`, `UID`, `USER:GROUP` or `UID:GID`, by the image's own files; root
    /// when empty.
    pub user: Vec<u8>,
    /// Whether the host sends standard input; it is empty otherwise.
    pub stdin: bool,
    /// The terminal that it runs on; pipes when `None`.
    pub terminal: Option<Terminal>,
    /// Resource limits.
    pub limits: Vec<Limit>,
}

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// One resource limit of a job, soft and hard alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is limited.
    pub resource: Resource,
    /// The most of it, in the unit of `setrlimit(2)`.
    pub value: u64,
}

/// What can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Seconds of processor time.
    Cpu,
    /// Bytes of a file.
    FileSize,
    /// Open files.
    Files,
    /// Processes of the user.
    Processes,
    /// Bytes of address space.
    AddressSpace,
    /// Bytes of a core dump.
    Core,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Code(u8),
    /// This signal ended it.
    Signal(u8),
    /// It could not be started: the system's error number, 0 for none, and what could not be done.
    Failed {
        /// The number, as in `errno(3)`.
        errno: i32,
        /// What could not be done.
        what: String,
    },
}

impl Terminal {
    pub(crate) fn put(self, out: &mut Vec<u8>) {
        out.put_u16(self.rows);
        out.put_u16(self.columns);
    }

    pub(crate) fn take(fields: &mut Fields<'_>) -> Result<Self, WireError> {
        Ok(Self {
            rows: fields.u16()?,
            columns: fields.u16()?,
        })
    }
}

impl Job {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_list(&self.argv);
        out.put_list(&self.env);
        out.put_bytes(&self.cwd);
        out.put_bytes(&self.user);
        out.put_u8(self.stdin.into());
        out.put_u8(self.terminal.is_some().into());
        if let Some(terminal) = self.terminal {
            terminal.put(out);
        }
        out.put_u32(u32::try_from(self.limits.len()).unwrap_or(u32::MAX));
        for limit in &self.limits {
            out.put_u8(limit.resource.number());
            out.put_u64(limit.value);
        }
    }

    pub(crate) fn take(fields: &mut Fields<'_>) -> Result<Self, WireError> {
        let argv = fields.strings("argv")?;
        // What the system would cut at a zero byte is refused instead.
        let env = fields.strings("env")?;
        if argv.is_empty() || argv.iter().chain(&env).any(|text| text.contains(&0)) {
            return Err(fields.wrong("argv"));
        }
        Ok(Self {
            argv,
            env,
            cwd: fields.bytes()?.to_vec(),
            user: fields.bytes()?.to_vec(),
            stdin: fields.flag("stdin")?,
            terminal: match fields.flag("terminal")? {
                true => Some(Terminal::take(fields)?),
                false => None,
            },
            limits: fields.list("limits", |fields| {
                let number = fields.u8()?;
                let resource =
                    Resource::from_number(number).ok_or_else(|| fields.wrong("limits"))?;
                let value = fields.u64()?;
                Ok(Limit { resource, value })
            })?,
        })
    }
}

impl Resource {
    /// Every resource, in the order of their numbers.
    const ALL: [Self; 6] = [
        Self::Cpu,
        Self::FileSize,
        Self::Files,
        Self::Processes,
        Self::AddressSpace,
        Self::Core,
    ];

    fn number(self) -> u8 {
        match self {
            Self::Cpu => 0,
            Self::FileSize => 1,
            Self::Files => 2,
            Self::Processes => 3,
            Self::AddressSpace => 4,
            Self::Core => 5,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl Ended {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Code(code) => out.extend_from_slice(&[0, *code]),
            Self::Signal(signal) => out.extend_from_slice(&[1, *signal]),
            Self::Failed { errno, what } => {
                out.put_u8(2);
                out.put_u32(errno.unsigned_abs());
                out.put_bytes(what.as_bytes());
            }
        }
    }

    pub(crate) fn take(fields: &mut Fields<'_>) -> Result<Self, WireError> {
        match fields.u8()? {
            0 => fields.u8().map(Self::Code),
            1 => match fields.u8()? {
                signal @ 1..=64 => Ok(Self::Signal(signal)),
                _ => Err(fields.wrong("signal")),
            },
            2 => Ok(Self::Failed {
                errno: i32::try_from(fields.u32()?).map_err(|_| fields.wrong("errno"))?,
                what: fields.text()?,
            }),
            _ => Err(fields.wrong("end")),
        }
    }
}
