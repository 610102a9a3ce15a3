//! How the two ends greet each other, and what the host wants to be set up.

use crate::error::WireError;
use crate::field::{Fields, Put};

/// The guest's first words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The protocol's version.
    pub version: u16,
    /// The kernel's release, as `uname -r` says it.
    pub kernel: String,
    /// Time since the kernel started, in milliseconds.
    pub uptime_ms: u64,
    /// The length in bytes of the device that data for the guest may be laid into; 0 for none.
    pub ring: u64,
}

/// The host's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The protocol's version.
    pub version: u16,
    /// The time in nanoseconds since 1970.
    pub clock_ns: u64,
    /// Random bytes for the guest's generator.
    pub seed: Vec<u8>,
}

/// What the guest is to set up before jobs run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// The guest's name.
    pub hostname: Vec<u8>,
    /// What is mounted, the root first; a guest without any stays in its initial RAM disk.
    pub mounts: Vec<Mount>,
    /// The port on the guest's loopback that is relayed to the host; 0 for none.
    pub proxy_port: u16,
    /// Whether jobs may load kernel modules and reach the machine's memory.
    pub privileged: bool,
}

/// A filesystem and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What kind it is.
    pub filesystem: Filesystem,
    /// The device, such as `/dev/ubda`.
    pub device: Vec<u8>,
    /// Where it goes in the root: `/` for the root itself.
    pub target: Vec<u8>,
    /// Whether it is only read.
    pub read_only: bool,
}

/// Kinds of filesystems that are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filesystem {
    /// An ext4 on a device.
    Ext4,
    /// Memory; the device does not count.
    Tmpfs,
}

impl Ready {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u16(self.version);
        out.put_bytes(self.kernel.as_bytes());
        out.put_u64(self.uptime_ms);
        out.put_u64(self.ring);
    }

    pub(crate) fn take(fields: &mut Fields<'_>) -> Result<Self, WireError> {
        Ok(Self {
            version: fields.u16()?,
            kernel: fields.text()?,
            uptime_ms: fields.u64()?,
            ring: fields.u64()?,
        })
    }
}

impl Hello {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u16(self.version);
        out.put_u64(self.clock_ns);
        out.put_bytes(&self.seed);
    }

    pub(crate) fn take(fields: &mut Fields<'_>) -> Result<Self, WireError> {
        Ok(Self {
            version: fields.u16()?,
            clock_ns: fields.u64()?,
            seed: fields.bytes()?.to_vec(),
        })
    }
}

impl Setup {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_bytes(&self.hostname);
        out.put_u32(u32::try_from(self.mounts.len()).unwrap_or(u32::MAX));
        for mount in &self.mounts {
            out.put_u8(mount.filesystem.number());
            out.put_bytes(&mount.device);
            out.put_bytes(&mount.target);
            out.put_u8(mount.read_only.into());
        }
        out.put_u16(self.proxy_port);
        out.put_u8(self.privileged.into());
    }

    pub(crate) fn take(fields: &mut Fields<'_>) -> Result<Self, WireError> {
        Ok(Self {
            hostname: fields.bytes()?.to_vec(),
            mounts: fields.list("mounts", |fields| {
                let number = fields.u8()?;
                let filesystem =
                    Filesystem::from_number(number).ok_or_else(|| fields.wrong("filesystem"))?;
                Ok(Mount {
                    filesystem,
                    device: fields.bytes()?.to_vec(),
                    target: fields.bytes()?.to_vec(),
                    read_only: fields.flag("read_only")?,
                })
            })?,
            proxy_port: fields.u16()?,
            privileged: fields.flag("privileged")?,
        })
    }
}

impl Filesystem {
    fn number(self) -> u8 {
        match self {
            Self::Ext4 => 0,
            Self::Tmpfs => 1,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Ext4),
            1 => Some(Self::Tmpfs),
            _ => None,
        }
    }
}
