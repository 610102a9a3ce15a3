//! The first moments: the kernel's filesystems, modules, the greeting.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forger_wire::{Hello, Message, Ready, Setup, VERSION};
use rustix::mount::{MountFlags, mount as mount_filesystem};
use rustix::time::{ClockId, Timespec, clock_settime};

use crate::channel::{Incoming, Outgoing};
use crate::device::explained;
use crate::switch_root::Root;

/// Where the host put the kernel's modules, in the order of their names.
const MODULES: &str = "/modules";

/// What the kernel's command line says to this program.
#[derive(Debug)]
pub(crate) struct Boot {
    /// The channel's device.
    pub(crate) channel: PathBuf,
    /// The device that the host lays data into.
    pub(crate) ring: Option<PathBuf>,
}

/// What this program is here for.
#[derive(Debug)]
pub(crate) enum Role {
    /// To serve a host.
    Guest(Boot),
    /// To mount the root of a machine and start its first program.
    Initrd(Root),
}

impl Role {
    /// Reads the command line: a host names its channel, and no machine does.
    pub(crate) fn read() -> io::Result<Self> {
        let line = fs::read_to_string("/proc/cmdline")?;
        let words: HashMap<&str, &str> = line
            .split_whitespace()
            .map(|word| word.split_once('=').unwrap_or((word, "")))
            .collect();
        let path = |key| words.get(key).map(PathBuf::from);
        match path("forger.channel") {
            Some(channel) => Ok(Self::Guest(Boot {
                channel,
                ring: path("forger.ring"),
            })),
            None => Root::read(&words).map(Self::Initrd),
        }
    }
}

/// Mounts what the kernel offers.
pub(crate) fn mount() -> io::Result<()> {
    let plain = MountFlags::NOSUID | MountFlags::NOEXEC;
    for (kind, target, flags) in [
        ("proc", "/proc", plain | MountFlags::NODEV),
        ("sysfs", "/sys", plain | MountFlags::NODEV),
        ("devtmpfs", "/dev", plain),
    ] {
        // It may be in the archive, or mounted by the kernel.
        let _ = fs::create_dir(target);
        match mount_filesystem(kind, target, kind, flags, None::<&std::ffi::CStr>) {
            Ok(()) | Err(rustix::io::Errno::BUSY) => {}
            Err(error) => return Err(explained("mount", Path::new(target), error)),
        }
    }
    Ok(())
}

/// Loads every module; returns what could not be loaded.
pub(crate) fn load_modules() -> Vec<String> {
    let Ok(entries) = fs::read_dir(MODULES) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let load = |path: &PathBuf| {
        let file = File::open(path)?;
        match rustix::system::finit_module(&file, c"", 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(io::Error::from(error)),
        }
    };
    paths
        .iter()
        .filter_map(|path| load(path).err().map(|error| (path, error)))
        .map(|(path, error)| explained("load", path, error).to_string())
        .collect()
}

/// Greets the host and returns what it wants to be set up.
pub(crate) fn greet(outgoing: &Outgoing, incoming: &mut Incoming) -> io::Result<Setup> {
    let ready = Ready {
        version: VERSION,
        kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        uptime_ms: uptime_ms(),
        ring: incoming.ring_len(),
    };
    outgoing.send(0, &Message::Ready(ready))?;
    let hello = incoming.message(outgoing, |message| match message {
        Message::Hello(hello) => Some(hello),
        _ => None,
    })?;
    accept(&hello)?;
    incoming.message(outgoing, |message| match message {
        Message::Setup(setup) => Some(setup),
        _ => None,
    })
}

/// Takes the host's time and random bytes.
fn accept(hello: &Hello) -> io::Result<()> {
    if hello.version != VERSION {
        let version = hello.version;
        return Err(io::Error::other(format!(
            "the host speaks version {version} of the protocol, this guest version {VERSION}"
        )));
    }
    let time = Duration::from_nanos(hello.clock_ns);
    let time = Timespec {
        tv_sec: i64::try_from(time.as_secs()).map_err(io::Error::other)?,
        tv_nsec: i64::from(time.subsec_nanos()),
    };
    // A clock that cannot be set is one that is right already, as on some machines.
    let _ = clock_settime(ClockId::Realtime, time);
    fs::write("/dev/urandom", &hello.seed)
}

fn uptime_ms() -> u64 {
    let since_boot = rustix::time::clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(since_boot.tv_sec).unwrap_or(0);
    let millis = u64::try_from(since_boot.tv_nsec / 1_000_000).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(millis)
}
