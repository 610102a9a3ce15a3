//! The role in an initial RAM disk: mount the root of the machine, and start its first program.
//!
//! | on the kernel's command line | means |
//! |---|---|
//! | `root=PARTUUID=GUID`, `root=UUID=GUID`, `root=/dev/NAME` | the root, by its partition, its ext4, its device |
//! | `root=PARTUUID=SIGNATURE-NUMBER` | the same, on a disk with a master boot record |
//! | `rootfstype=`, `rootflags=` | how it is mounted: as an ext4, unless they say otherwise |
//! | `rw` | it may be written; without it, it is only read |
//! | `rootwait`, `rootdelay=SECONDS` | it is waited for in any case: 60 s, or longer |
//! | `init=` | its first program: `/sbin/init` and where else kernels look, unless it says otherwise |

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount, mount_move};

use crate::device::explained;
use crate::{gpt, mbr};

/// Where the root is mounted before it becomes the root.
const NEW_ROOT: &str = "/newroot";

/// How long a disk may take to appear.
const PATIENCE: Duration = Duration::from_secs(60);

/// First programs, in the order in which a kernel looks for them.
const PROGRAMS: [&str; 4] = ["/sbin/init", "/etc/init", "/bin/init", "/bin/sh"];

/// The root of a machine, as its command line names it.
#[derive(Debug)]
pub(crate) struct Root {
    /// What stands behind `root=`.
    named: String,
    device: Device,
    filesystem: CString,
    flags: CString,
    read_only: bool,
    patience: Duration,
    init: Option<PathBuf>,
}

/// How a root is found.
#[derive(Debug)]
enum Device {
    /// By the GUID of its partition.
    Partition([u8; 16]),
    /// By the signature of its disk, and its number.
    Numbered(u32, u32),
    /// By the UUID of its ext4.
    Filesystem([u8; 16]),
    Path(PathBuf),
}

impl Root {
    /// Reads the words of the command line.
    pub(crate) fn read(words: &HashMap<&str, &str>) -> io::Result<Self> {
        let word = |key: &str| words.get(key).copied().filter(|value| !value.is_empty());
        let Some(named) = word("root") else {
            let what = "the command line names neither a root nor a forger.channel";
            return Err(io::Error::other(what));
        };
        let device = match named.split_once('=') {
            Some(("PARTUUID", id)) => gpt::guid(id)
                .map(Device::Partition)
                .or_else(|| mbr::partuuid(id).map(|(disk, number)| Device::Numbered(disk, number))),
            Some(("UUID", uuid)) => self::uuid(uuid).map(Device::Filesystem),
            _ if named.starts_with("/dev/") => Some(Device::Path(named.into())),
            _ => None,
        };
        let text = |key, default: &str| {
            let value = word(key).unwrap_or(default);
            CString::new(value).map_err(io::Error::other)
        };
        let delay = word("rootdelay").and_then(|seconds| seconds.parse().ok());
        Ok(Self {
            named: named.to_owned(),
            device: device.ok_or_else(|| {
                io::Error::other(format!(
                    "root={named}: expected PARTUUID=GUID, PARTUUID=SIGNATURE-NUMBER, UUID=GUID or /dev/NAME"
                ))
            })?,
            filesystem: text("rootfstype", "ext4")?,
            flags: text("rootflags", "")?,
            read_only: !words.contains_key("rw"),
            patience: PATIENCE.max(Duration::from_secs(delay.unwrap_or(0))),
            init: word("init").map(PathBuf::from),
        })
    }

    /// Mounts the root and becomes its first program; returns only if that cannot be done.
    pub(crate) fn switch(&self, problems: &[String]) -> io::Error {
        let entered = self.enter();
        if entered.is_err() {
            // What could not be loaded may be why; what was not needed is nobody's concern.
            problems
                .iter()
                .for_each(|problem| eprintln!("forger-guest: {problem}"));
        }
        match entered {
            Ok(()) => self.start(),
            Err(error) => error,
        }
    }

    fn enter(&self) -> io::Result<()> {
        let device = self.wait()?;
        // Frees their memory: nobody reads them again.
        let _ = fs::remove_dir_all("/modules");
        let _ = fs::remove_file("/init");
        fs::create_dir(NEW_ROOT)?;
        let flags = match self.read_only {
            true => MountFlags::RDONLY,
            false => MountFlags::empty(),
        };
        let data: Option<&CStr> = Some(&*self.flags).filter(|flags| !flags.is_empty());
        mount(&device, NEW_ROOT, &*self.filesystem, flags, data)
            .map_err(|error| explained("mount", &device, error))?;
        for folder in ["dev", "proc", "sys"] {
            let target = Path::new(NEW_ROOT).join(folder);
            // A root without the folder mounts it itself, or goes without.
            let _ = mount_move(format!("/{folder}"), &target);
        }
        std::env::set_current_dir(NEW_ROOT)?;
        mount_move(".", "/").map_err(|error| explained("move", Path::new(NEW_ROOT), error))?;
        rustix::process::chroot(".")?;
        std::env::set_current_dir("/")
    }

    /// Becomes the first program.
    fn start(&self) -> io::Error {
        let usual = PROGRAMS.iter().map(PathBuf::from);
        let programs: Vec<PathBuf> = match &self.init {
            Some(init) => vec![init.clone()],
            None => usual.collect(),
        };
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for program in programs {
            // What the kernel does not understand of its command line it passes on.
            let error = Command::new(&program)
                .args(std::env::args_os().skip(1))
                .exec();
            last = explained("start", &program, error);
            if last.kind() != io::ErrorKind::NotFound {
                break;
            }
        }
        last
    }

    /// Waits until the root's device is there.
    fn wait(&self) -> io::Result<PathBuf> {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some(path) = self.device.find() {
                return Ok(path);
            }
            if Instant::now() > deadline {
                let what = format!(
                    "no disk has root={} after {} s; there are: {}",
                    self.named,
                    self.patience.as_secs(),
                    names().join(" ")
                );
                return Err(io::Error::new(io::ErrorKind::NotFound, what));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Device {
    fn find(&self) -> Option<PathBuf> {
        match self {
            Self::Path(path) => path.exists().then(|| path.clone()),
            Self::Filesystem(uuid) => {
                let mut names = names().into_iter().map(|name| Path::new("/dev").join(name));
                names.find(|path| has_uuid(path, uuid).is_some_and(|has| has))
            }
            Self::Partition(guid) => names().iter().find_map(|disk| {
                partition(disk, |file, sector| gpt::partition(file, sector, guid))
            }),
            Self::Numbered(signature, number) => names().iter().find_map(|disk| {
                partition(disk, |file, _| {
                    mbr::is_signed(file, *signature).then_some(*number)
                })
            }),
        }
    }
}

/// Returns the names of all disks and partitions.
fn names() -> Vec<String> {
    let entries = fs::read_dir("/sys/class/block").into_iter().flatten();
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Finds a partition of a disk by the number that its table has for it; `find` gets the disk and how large
/// its sectors are.
fn partition(disk: &str, find: impl Fn(&File, u64) -> Option<u32>) -> Option<PathBuf> {
    let about = Path::new("/sys/class/block").join(disk);
    let sector = fs::read_to_string(about.join("queue/logical_block_size")).ok()?;
    let file = File::open(Path::new("/dev").join(disk)).ok()?;
    let number = find(&file, sector.trim().parse().ok()?)?;
    let parts = fs::read_dir(&about).ok()?.flatten();
    let part = parts.map(|entry| entry.path()).find(|path| {
        let read = fs::read_to_string(path.join("partition")).ok();
        read.is_some_and(|text| text.trim().parse() == Ok(number))
    })?;
    Some(Path::new("/dev").join(part.file_name()?))
}

/// Tells whether a device holds the ext4 with a UUID.
fn has_uuid(path: &Path, uuid: &[u8; 16]) -> Option<bool> {
    let file = File::open(path).ok()?;
    // The superblock begins at 0x400: the magic number at 0x38 of it, the UUID at 0x68.
    let (mut magic, mut found) = ([0; 2], [0; 16]);
    file.read_exact_at(&mut magic, 0x438).ok()?;
    file.read_exact_at(&mut found, 0x468).ok()?;
    Some(magic == [0x53, 0xef] && found == *uuid)
}

/// Reads a UUID, whose bytes stand as they are written.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.split('-').collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    (digits.len() == 32).then(|| number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(line: &str) -> io::Result<Root> {
        let words = line.split_whitespace();
        let words = words.map(|word| word.split_once('=').unwrap_or((word, "")));
        Root::read(&words.collect())
    }

    #[test]
    fn a_command_line_names_the_root() {
        let read = root("quiet root=PARTUUID=00112233-4455-6677-8899-aabbccddeeff rw").unwrap();
        assert!(!read.read_only);
        let Device::Partition(guid) = read.device else {
            panic!("{read:?}");
        };
        assert_eq!(guid[..8], [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66]);
        assert_eq!(guid[8..], [0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]);
        let read = root("root=UUID=00112233-4455-6677-8899-aabbccddeeff init=/x").unwrap();
        assert!(read.read_only && read.init == Some("/x".into()));
        assert!(matches!(read.device, Device::Filesystem(uuid) if uuid[1] == 0x11));
        let read = root("root=PARTUUID=0badcafe-0a").unwrap();
        assert!(matches!(read.device, Device::Numbered(0x0bad_cafe, 10)));
        for line in [
            "quiet",
            "root=",
            "root=LABEL=x",
            "root=PARTUUID=12",
            "root=PARTUUID=0badcafe-0",
            "root=PARTUUID=00000000-01",
            "root=PARTUUID=+badcafe-01",
            "root=UUID=zz",
        ] {
            assert!(root(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_partition_is_found_by_its_guid() {
        let mut disk = vec![0; 8192];
        disk[512..520].copy_from_slice(b"EFI PART");
        disk[512 + 0x48] = 2;
        disk[512 + 0x50] = 4;
        disk[512 + 0x54] = 128;
        let guid = [7; 16];
        disk[1024 + 2 * 128 + 16..][..16].copy_from_slice(&guid);
        let path = std::env::temp_dir().join(format!("forger-gpt-{}", std::process::id()));
        fs::write(&path, &disk).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        fs::remove_file(path).unwrap();
        assert_eq!(gpt::partition(&file, 512, &guid), Some(3));
        assert_eq!(gpt::partition(&file, 512, &[8; 16]), None);
        assert_eq!(gpt::partition(&file, 4096, &guid), None);
        file.write_all_at(&[4, 3, 2, 1], 0x1b8).unwrap();
        assert!(!mbr::is_signed(&file, 0x0102_0304));
        file.write_all_at(&[0x55, 0xaa], 0x1fe).unwrap();
        assert!(mbr::is_signed(&file, 0x0102_0304));
    }
}
