//! Boots a kernel with an initial RAM disk of yours on KVM, and prints what it says until it switches itself off:
//! `monitor KERNEL INITRD [DISK]`.
//!
//! DISK is an image of a disk, or a tar, of which a filesystem is planned that nobody ever writes; what the guest
//! writes is kept in memory. This is what lies below [`forger_vm::Guest`], for programs that bring their own init.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    #[cfg(target_arch = "x86_64")]
    return x86_64::run();
    #[cfg(not(target_arch = "x86_64"))]
    return Err("machines on KVM are for x86-64".into());
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::error::Error;
    use std::fs::{self, File};
    use std::io::Write;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use forger_block::{BlockRead, FileReader, Overlay};
    use forger_fs::ext4::{self, Layer};
    use forger_fs::observe::Silent;
    use forger_fs::tar;
    use forger_vm::kernel::Kernel;
    use forger_vm::kvm::Kvm;
    use forger_vm::{Backend, Disk, Machine};

    /// How often it is asked whether the machine has ended.
    const PULSE: Duration = Duration::from_millis(100);

    pub(super) fn run() -> Result<(), Box<dyn Error>> {
        let begin = Instant::now();
        let words: Vec<_> = std::env::args_os().skip(1).collect();
        let (kernel, initrd, disk) = match words.as_slice() {
            [kernel, initrd] => (kernel, initrd, None),
            [kernel, initrd, disk] => (kernel, initrd, Some(disk)),
            _ => return Err("usage: monitor KERNEL INITRD [DISK]".into()),
        };
        let backend = Kvm {
            device: "/dev/kvm".into(),
            kernel: Kernel::open(Path::new(kernel))?,
            entropy: "/dev/urandom".into(),
        };
        let disk = disk.map(|path| open(Path::new(path))).transpose()?;
        let started = backend.start(Machine {
            initramfs: fs::read(initrd)?,
            memory: 256 << 20,
            cpus: 1,
            disks: disk.into_iter().collect(),
            scratch: std::env::temp_dir(),
        })?;
        let mut out = std::io::stdout().lock();
        let mut position = 0;
        loop {
            let over = started.instance.wait(Duration::ZERO);
            let patience = if over { Duration::ZERO } else { PULSE };
            let (said, behind) = started.console.after(position, patience);
            position = behind;
            out.write_all(&said)?;
            out.flush()?;
            // What was said before the end has been passed on now.
            if over {
                break;
            }
        }
        if let Some(entered) = started.instance.entered() {
            let after = entered.saturating_duration_since(begin);
            eprintln!("the guest's first instruction ran after {after:?}");
        }
        Ok(())
    }

    /// Opens a disk, or plans one of a tar.
    fn open(path: &Path) -> Result<Disk, Box<dyn Error>> {
        let file: Arc<dyn BlockRead> = Arc::new(FileReader::open(path)?);
        let base = match path.extension().is_some_and(|end| end == "tar") {
            true => plan(path, file)?,
            false => file,
        };
        Ok(Disk {
            store: Arc::new(Overlay::in_memory(base, 1 << 30)),
            read_only: false,
        })
    }

    fn plan(path: &Path, tar: Arc<dyn BlockRead>) -> Result<Arc<dyn BlockRead>, Box<dyn Error>> {
        let mut source = tar::Reader::new(File::open(path)?).with_origin(tar);
        let mut layers = [Layer {
            source: &mut source,
            overlay: false,
        }];
        let options = ext4::Options {
            keep_zeros: true,
            ..ext4::Options::default()
        };
        let (image, _) = ext4::plan(&mut layers, &options, &mut Silent)?;
        Ok(Arc::new(image))
    }
}
