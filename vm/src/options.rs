//! What a guest gets.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use crate::backend::Disk;
use crate::error::Error;
use crate::proxy;

/// How a guest is made.
#[derive(Debug)]
pub struct Options {
    /// Its root; `None` for the initial RAM disk only.
    pub root: Option<Disk>,
    /// What else is mounted, in order.
    pub mounts: Vec<Mounted>,
    /// Memory in bytes.
    pub memory: u64,
    /// Processors.
    pub cpus: u32,
    /// Its name.
    pub hostname: Vec<u8>,
    /// The time it begins with, in nanoseconds since 1970.
    pub clock_ns: u64,
    /// Random bytes that it begins with.
    pub seed: Vec<u8>,
    /// Its way out; none when `None`.
    pub proxy: Option<proxy::Options>,
    /// Whether jobs may load kernel modules and reach the machine's memory.
    pub privileged: bool,
    /// How long it may take until jobs can run.
    pub boot_limit: Duration,
    /// How long it may say nothing at all.
    pub silence_limit: Duration,
    /// Its first program.
    pub init: Cow<'static, [u8]>,
    /// Where unnamed temporary files go.
    pub scratch: PathBuf,
}

/// Something that is mounted beside the root.
#[derive(Debug)]
pub struct Mounted {
    /// An ext4; memory when `None`.
    pub disk: Option<Disk>,
    /// The folder in the guest.
    pub target: Vec<u8>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            root: None,
            mounts: Vec::new(),
            memory: 512 << 20,
            cpus: 1,
            hostname: b"guest".to_vec(),
            clock_ns: 0,
            seed: Vec::new(),
            proxy: None,
            privileged: false,
            boot_limit: Duration::from_secs(120),
            silence_limit: Duration::from_secs(120),
            init: Cow::Borrowed(crate::GUEST_INIT),
            scratch: "/tmp".into(),
        }
    }
}

impl Options {
    /// Checks what needs no guest to be wrong.
    ///
    /// # Errors
    /// [`Error::Option`].
    pub fn validate(&self) -> Result<(), Error> {
        let refuse = |option, reason: &str| {
            Err(Error::Option {
                option,
                reason: reason.to_owned(),
            })
        };
        if self.init.is_empty() {
            return refuse(
                "guest-init",
                "this forger was built without the guest's program",
            );
        }
        if self.cpus == 0 {
            return refuse("cpus", "a guest needs one at least");
        }
        let named = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
        if self.hostname.len() > 64 || !self.hostname.iter().all(named) {
            return refuse("hostname", "at most 64 letters, digits, dots and hyphens");
        }
        for mounted in &self.mounts {
            let below = |part: &[u8]| part != b".." && !part.contains(&0);
            let target = mounted.target.as_slice();
            if target == b"/"
                || !target.starts_with(b"/")
                || !target.split(|byte| *byte == b'/').all(below)
            {
                return refuse(
                    "mount",
                    "the folder in the guest is an absolute path below /",
                );
            }
        }
        Ok(())
    }
}
