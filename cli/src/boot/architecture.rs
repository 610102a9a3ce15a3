//! Machines, and what EFI and the Discoverable Partitions Specification call them.

use forger_fs::ext4::Image;

use super::{Error, file};

/// A machine that boots by EFI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// `x86_64`, amd64.
    X86_64,
    /// aarch64, arm64.
    Aarch64,
    /// 64-bit RISC-V.
    Riscv64,
    /// 64-bit `LoongArch`.
    Loongarch64,
}

/// Programs that tell which machine a root filesystem is for.
const PROGRAMS: [&str; 7] = [
    "usr/lib/systemd/systemd",
    "usr/bin/sh",
    "bin/sh",
    "usr/bin/busybox",
    "bin/busybox",
    "sbin/init",
    "usr/sbin/init",
];

impl Architecture {
    /// Tells which machine a root filesystem is for, by the ELF header of one of its programs.
    ///
    /// # Errors
    /// [`Error::NoArchitecture`] where there is none, [`Error::Architecture`] for other machines.
    pub fn of(image: &Image) -> Result<Self, Error> {
        for path in PROGRAMS {
            let Some(content) = file(image, path)? else {
                continue;
            };
            let mut head = [0; 20];
            if content.size() < 20 {
                continue;
            }
            forger_block::BlockRead::read_at(&content, 0, &mut head)?;
            // Little-endian ELF of 64 bits.
            if head[..6] != *b"\x7fELF\x02\x01" {
                continue;
            }
            let machine = u16::from_le_bytes([head[18], head[19]]);
            return match machine {
                62 => Ok(Self::X86_64),
                183 => Ok(Self::Aarch64),
                243 => Ok(Self::Riscv64),
                258 => Ok(Self::Loongarch64),
                machine => Err(Error::Architecture { machine }),
            };
        }
        Err(Error::NoArchitecture)
    }

    /// Returns the machine with a name as `uname -m` gives it, or as distributions do.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "x86_64" | "amd64" => Some(Self::X86_64),
            "aarch64" | "arm64" => Some(Self::Aarch64),
            "riscv64" => Some(Self::Riscv64),
            "loongarch64" | "loong64" => Some(Self::Loongarch64),
            _ => None,
        }
    }

    /// Returns what EFI calls it: `x64` in `BOOTX64.EFI`.
    #[must_use]
    pub fn efi(self) -> &'static str {
        match self {
            Self::X86_64 => "x64",
            Self::Aarch64 => "aa64",
            Self::Riscv64 => "riscv64",
            Self::Loongarch64 => "loongarch64",
        }
    }

    /// Returns what the Discoverable Partitions Specification calls it: `x86-64` in `root-x86-64`.
    #[must_use]
    pub fn partition(self) -> &'static str {
        match self {
            Self::X86_64 => "x86-64",
            Self::Aarch64 => "arm64",
            Self::Riscv64 => "riscv64",
            Self::Loongarch64 => "loongarch64",
        }
    }

    /// Returns the path of what the firmware starts where nothing else is set.
    #[must_use]
    pub fn fallback(self) -> String {
        format!("EFI/BOOT/BOOT{}.EFI", self.efi().to_uppercase())
    }
}
