//! User-Mode Linux: a kernel that is an ordinary program (Debian's package `user-mode-linux`).
//!
//! It needs no /dev/kvm and no rights, but `ptrace` and a folder whose files may be executed, for its
//! memory. Its guests are kept from the host less than those of a virtual machine: whoever breaks out
//! of the guest's kernel is the user who started it, no more and no less. What that kernel could do to
//! the host on a guest's behalf is switched off: it mounts no folder of the host (`hostfs`), has no
//! management socket, and loads no modules once it is set up.
//!
//! | in the guest | on the host |
//! |---|---|
//! | `/dev/ttyS0` | one end of a socket pair: the channel |
//! | the console | another one |
//! | `/dev/ubdb`, `/dev/ubdc`, ... | the disks: copies of them in unnamed files |
//! | `/dev/vda`, `/dev/vdb`, ... | the disks, where they are served from here instead (vhost-user) |
//! | `/dev/ubda` | an unnamed file: the ring |
//!
//! Nothing of it has a name in the host's filesystem but the sockets of served disks, and those only
//! until the kernel's process is about to start. When this process is killed, the kernel's ends with it,
//! and with that all others: nothing is left behind.

mod line;
mod memory;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Access, Backend, Child, Inherited, Isolation, Machine, Running, Started, pair};
use crate::console::Console;
use crate::error::Error;
use crate::initramfs::Module;

use self::line::Line;

/// What user-mode Linux is called in messages.
const NAME: &str = "uml";

/// The most disks.
const MAX_DISKS: usize = 15;

/// Where distributions put the modules of its kernel, by release.
const MODULES: &str = "/usr/lib/uml/modules";

/// The driver of served disks, below a release's folder.
const DRIVER: &str = "kernel/drivers/block/virtio_blk.ko";

/// What is loaded into the kernel's program first (`LD_PRELOAD`), for processors with large register states:
/// `vm/preload/uml.rs` as a shared library, empty where there is no User-Mode Linux.
pub const PRELOAD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/preload.so"));

/// Least memory in bytes: below it the kernel does not come up.
const LEAST_MEMORY: u64 = 32 << 20;

/// User-Mode Linux as a backend.
#[derive(Clone, Debug)]
pub struct Uml {
    /// The kernel: `linux.uml`.
    pub kernel: PathBuf,
    /// Folders that may hold the guest's memory, best first.
    pub memory_folders: Vec<PathBuf>,
    /// Serves disks from this process (vhost-user) where the kernel has its `virtio_blk.ko`, instead of
    /// copying them into unnamed files.
    pub serve_disks: bool,
}

impl Uml {
    fn unusable(reason: impl Into<String>) -> Error {
        Error::Unusable {
            backend: NAME,
            reason: reason.into(),
        }
    }

    fn check_kernel(&self) -> Result<(), Error> {
        let shown = self.kernel.display();
        let mut head = [0; 20];
        let read = File::open(&self.kernel).and_then(|mut file| file.read_exact(&mut head));
        match read {
            Err(error) => Err(Self::unusable(format!(
                "cannot read the kernel {shown}: {error}; on Debian, apt-get install user-mode-linux"
            ))),
            Ok(()) if head.starts_with(b"\x7fELF") => Ok(()),
            Ok(()) => Err(Self::unusable(format!("{shown} is no program"))),
        }
    }

    /// Returns the driver of served disks for its kernel's release, if there is one.
    fn driver(&self) -> Option<PathBuf> {
        if !self.serve_disks {
            return None;
        }
        let said = Command::new(&self.kernel)
            .env_clear()
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let release = String::from_utf8(said.stdout).ok()?;
        let release = release.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        if release.is_empty() || !release.chars().all(plain) || release.contains("..") {
            return None;
        }
        // Whoever keeps a kernel keeps its modules beside it; distributions have a folder for them.
        let folders = [
            self.kernel.with_file_name("modules"),
            Path::new(MODULES).join(release),
        ];
        let mut drivers = folders.iter().map(|folder| folder.join(DRIVER));
        drivers.find(|path| path.is_file())
    }

    /// Tells whether its kernel may trace processes here, by its own first check.
    ///
    /// # Errors
    /// [`Error::Unusable`] with what the kernel said.
    fn check_ptrace(&self) -> Result<(), Error> {
        self.probe()?;
        let (ours, theirs) = pair()?;
        let mut command = Command::new(&self.kernel);
        let output = theirs
            .try_clone()
            .map_err(|e| Error::host("copy a file", e))?;
        command
            .env_clear()
            .env("HOME", "/")
            .env(
                "TMPDIR",
                memory::choose(&self.memory_folders, LEAST_MEMORY)?,
            )
            .args(["mem=32M", "uml_dir=/dev/null/", "con=null", "ssl=null"])
            .stdin(Stdio::null())
            .stdout(Stdio::from(std::os::fd::OwnedFd::from(output)))
            .stderr(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
        let child = Child::start(command, Inherited::default())?;
        let limit = Duration::from_secs(5);
        let start = Instant::now();
        // A time-out that is not 0 is always taken.
        let _ = ours.set_read_timeout(Some(limit));
        let mut said = Vec::new();
        let mut piece = [0; 1024];
        while let Ok(len @ 1..) = (&ours).read(&mut piece) {
            said.extend_from_slice(&piece[..len]);
            let text = String::from_utf8_lossy(&said);
            if text.contains("syscall emulation") || text.contains("Linux version") {
                return Ok(());
            }
            if start.elapsed() > limit || said.len() > 64 << 10 {
                break;
            }
        }
        child.kill();
        let console = Console::default();
        console.push(&said);
        Err(Self::unusable(format!(
            "its kernel cannot trace processes (ptrace) here{}",
            console.tail()
        )))
    }
}

impl Backend for Uml {
    fn name(&self) -> &'static str {
        NAME
    }

    fn isolation(&self) -> Isolation {
        Isolation::Process
    }

    fn probe(&self) -> Result<(), Error> {
        if !cfg!(target_arch = "x86_64") {
            return Err(Self::unusable("it is made for x86-64 only"));
        }
        self.check_kernel()?;
        // Yama's scopes 2 and 3 keep ordinary processes from tracing even their children.
        let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
        if matches!(scope.trim(), "2" | "3") && !is_root() {
            return Err(Self::unusable(
                "the system forbids ptrace (kernel.yama.ptrace_scope is 2 or 3)",
            ));
        }
        memory::choose(&self.memory_folders, LEAST_MEMORY).map(drop)
    }

    fn check(&self) -> Result<(), Error> {
        self.check_ptrace()
    }

    fn modules(&self) -> Result<Vec<Module>, Error> {
        let Some(path) = self.driver() else {
            return Ok(Vec::new());
        };
        let bytes = fs::read(&path)
            .map_err(|error| Error::host(format!("read {}", path.display()), error))?;
        let name = "virtio_blk.ko".to_owned();
        Ok(vec![Module { name, bytes }])
    }

    fn start(&self, machine: Machine) -> Result<Started, Error> {
        self.check_kernel()?;
        if machine.memory < LEAST_MEMORY {
            return Err(Error::Option {
                option: "memory",
                reason: "a guest needs 32 MiB at least".to_owned(),
            });
        }
        if machine.disks.len() > MAX_DISKS {
            return Err(Error::Option {
                option: "disks",
                reason: format!("at most {MAX_DISKS} fit"),
            });
        }
        let folder = memory::choose(&self.memory_folders, machine.memory)?;
        let mut line = Line::new(&self.kernel, &folder, machine.memory)?;
        let (channel, console) = line.channels()?;
        line.initramfs(&machine.initramfs, &machine.scratch)?;
        let ring = line.ring(&machine.scratch)?;
        let access = match self.driver() {
            Some(_) => Access::Served,
            None => Access::Copied,
        };
        let (disks, devices) = match access {
            Access::Served => line.served(&machine, &folder)?,
            Access::Copied => line.copied(&machine)?,
        };
        line.preload(&folder)?;
        let child = Child::start(line.command, line.inherited)?;
        Ok(Started {
            channel,
            ring: Some(ring),
            devices,
            access,
            console: Console::listen(console)?,
            instance: Box::new(Running { child, disks }),
        })
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
