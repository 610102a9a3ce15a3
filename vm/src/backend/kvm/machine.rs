//! A machine, from its parts to its end.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use forger_block::{BlockRead, BlockStore};
use forger_disk::virtio_blk::Faults;
use kvm_ioctls::Kvm;

use super::arch::{self, Ports};
use super::bus::Bus;
use super::end::End;
use super::memory::Memory;
use super::seccomp::Thread;
use super::vcpu::{self, Outside, Vcpu};
use super::virtio::{Block, Console as Channel, Entropy, Place, Registers, Worker};
use crate::backend::{Instance, Machine};
use crate::cause::Cause;
use crate::channel::locked;
use crate::console::Console;
use crate::error::Error;
use crate::kernel::Format;

/// The version of KVM's interface, which has been this one for ever.
const API: i32 = 12;

/// The channel's device in the guest: the first port of the first device.
const CHANNEL: &str = "/dev/vport0p0";

/// What a machine is made of.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) device: &'a Path,
    pub(super) kernel: File,
    pub(super) format: Format,
    pub(super) entropy: File,
    pub(super) machine: &'a Machine,
}

/// A machine that runs.
#[derive(Debug)]
pub(super) struct Running {
    end: Arc<End>,
    disks: Vec<(Arc<dyn BlockStore>, Arc<Faults>)>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl Running {
    /// Makes a machine and starts it; returns the host's end of the channel, too.
    pub(super) fn start(mut parts: Parts<'_>) -> Result<(Self, UnixStream, Console), Error> {
        vcpu::prepare()?;
        let machine = parts.machine;
        let kvm = open(parts.device)?;
        let vm = kvm
            .create_vm()
            .map_err(|error| Error::host("make a machine", std::io::Error::from(error)))?;
        arch::prepare(&vm)?;
        let memory = Memory::give(vm, machine.memory)?;
        let console = Console::default();
        let (host, guest) = crate::backend::pair()?;
        let end = Arc::new(End::default());
        let mut devices = Devices::new(&memory, &end);
        let channel = Channel::new(guest).map_err(|e| Error::host("make a channel", e))?;
        // The first device's number is in the channel's name.
        devices.add(channel, Thread::Channel)?;
        devices.add(Entropy(parts.entropy), Thread::Entropy)?;
        let mut disks = Vec::new();
        for disk in &machine.disks {
            let faults = Arc::new(Faults::default());
            devices.add(Block::new(disk, Arc::clone(&faults)), Thread::Disk)?;
            disks.push((Arc::clone(&disk.store), faults));
        }
        let Devices {
            workers, registers, ..
        } = devices;
        let line = format!("{} forger.channel={CHANNEL}", arch::COMMAND_LINE);
        let loaded = arch::load(
            memory.guest(),
            &mut parts.kernel,
            parts.format,
            &line,
            &machine.initramfs,
        )?;
        arch::announce(
            &memory,
            machine.cpus,
            u32::try_from(registers.len()).unwrap_or(0),
        )?;
        let outside = Arc::new(Outside {
            ports: Ports::new(memory.vm(), console.clone())?,
            bus: Bus::new(registers),
            end: Arc::clone(&end),
        });
        let mut whole = Whole {
            processors: Processors(Vec::new(), Arc::clone(&end)),
            _workers: workers,
            memory,
        };
        // All of them are there before the first one runs.
        let mut ready = Vec::new();
        for number in 0..machine.cpus {
            let vcpu = whole.memory.vm().create_vcpu(number.into());
            let vcpu =
                vcpu.map_err(|e| Error::host("make a processor", std::io::Error::from(e)))?;
            arch::ready(&kvm, &vcpu, number, machine.cpus, &whole.memory, &loaded)?;
            ready.push(vcpu);
        }
        for (number, vcpu) in (0..).zip(ready) {
            let vcpu = Vcpu::start(number, vcpu, &outside)?;
            whole.processors.0.push(vcpu);
        }
        let supervisor = whole.supervise(console.clone())?;
        let running = Self {
            end,
            disks,
            supervisor: Mutex::new(Some(supervisor)),
        };
        Ok((running, host, console))
    }
}

fn open(device: &Path) -> Result<Kvm, Error> {
    let failed = |error| Error::host(format!("open {}", device.display()), error);
    let path = CString::new(device.as_os_str().as_bytes())
        .map_err(|error| failed(std::io::Error::other(error)))?;
    let kvm = Kvm::new_with_path(path).map_err(|error| failed(error.into()))?;
    match kvm.get_api_version() {
        API => Ok(kvm),
        other => Err(failed(std::io::Error::other(format!(
            "it speaks version {other} of its interface, not {API}"
        )))),
    }
}

/// The devices of a machine while it is made.
struct Devices<'a> {
    memory: &'a Memory,
    end: &'a Arc<End>,
    workers: Vec<Worker>,
    registers: Vec<Registers>,
}

impl<'a> Devices<'a> {
    fn new(memory: &'a Memory, end: &'a Arc<End>) -> Self {
        Self {
            memory,
            end,
            workers: Vec::new(),
            registers: Vec::new(),
        }
    }

    /// Adds a device at the next place.
    fn add(
        &mut self,
        device: impl super::virtio::Device + 'static,
        thread: Thread,
    ) -> Result<(), Error> {
        let number = u32::try_from(self.workers.len()).unwrap_or(u32::MAX);
        let place = Place {
            vm: self.memory.vm(),
            memory: self.memory.guest(),
            registers: arch::REGISTERS + u64::from(number) * arch::REGISTERS_LEN,
            line: arch::FIRST_LINE + number,
            end: self.end,
        };
        let (worker, registers) = Worker::start(device, place, thread)?;
        self.workers.push(worker);
        self.registers.push(registers);
        Ok(())
    }
}

/// All that runs for a machine; it ends in this order.
#[derive(Debug)]
struct Whole {
    processors: Processors,
    _workers: Vec<Worker>,
    memory: Memory,
}

impl Whole {
    /// Waits for the machine's end in a thread, and lets nothing of it be left then.
    fn supervise(self, console: Console) -> Result<JoinHandle<()>, Error> {
        let end = Arc::clone(&self.processors.1);
        let supervise = move || {
            // Whoever sees the channel's end asks why.
            console.ended(end.wait());
            drop(self);
            end.gone();
        };
        thread::Builder::new()
            .name("guest machine".to_owned())
            .spawn(supervise)
            .map_err(|error| Error::host("start a thread", error))
    }
}

/// The processors that were started.
#[derive(Debug)]
struct Processors(Vec<Vcpu>, Arc<End>);

impl Drop for Processors {
    fn drop(&mut self) {
        self.1.because(Cause::Killed);
        // An interruption that comes just before a processor enters the guest has no effect: once more.
        while !self.0.iter().all(Vcpu::kick) {
            thread::sleep(Duration::from_millis(1));
        }
        self.0.drain(..).for_each(Vcpu::join);
    }
}

impl Instance for Running {
    fn kill(&self) {
        self.end.because(Cause::Killed);
    }

    fn wait(&self, limit: Duration) -> bool {
        self.end.wait_gone(limit)
    }

    fn entered(&self) -> Option<Instant> {
        self.end.entry()
    }

    fn disk(&self, number: usize) -> Result<Arc<dyn BlockRead>, Error> {
        let disk = self.disks.get(number).ok_or_else(|| Error::Option {
            option: "disks",
            reason: format!("there is no disk {number}"),
        })?;
        match disk.1.take() {
            Some(error) => Err(error.into()),
            None => Ok(Arc::clone(&disk.0) as Arc<dyn BlockRead>),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if let Some(supervisor) = locked(&self.supervisor).take() {
            // A thread that panicked has said why.
            let _ = supervisor.join();
        }
    }
}
