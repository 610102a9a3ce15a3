//! A device's thread.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use kvm_ioctls::VmFd;
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

use super::registers::{Active, Registers, Shared};
use super::{Device, Queues};
use crate::backend::kvm::end::End;
use crate::backend::kvm::seccomp;
use crate::cause::Cause;
use crate::channel::locked;
use crate::error::Error;

/// A device's thread while it runs.
#[derive(Debug)]
pub(in crate::backend::kvm) struct Worker {
    /// Written when the machine has ended.
    stop: EventFd,
    thread: Option<JoinHandle<()>>,
}

/// Where a device is in its machine.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend::kvm) struct Place<'a> {
    pub(in crate::backend::kvm) vm: &'a VmFd,
    pub(in crate::backend::kvm) memory: &'a GuestMemoryMmap,
    /// The address of its registers.
    pub(in crate::backend::kvm) registers: u64,
    /// Its interrupt line.
    pub(in crate::backend::kvm) line: u32,
    /// The machine's end.
    pub(in crate::backend::kvm) end: &'a Arc<End>,
}

impl Worker {
    /// Starts a device at its place; returns its thread and its registers.
    pub(in crate::backend::kvm) fn start(
        device: impl Device + 'static,
        place: Place<'_>,
        kind: seccomp::Thread,
    ) -> Result<(Self, Registers), Error> {
        let line = event()?;
        place
            .vm
            .register_irqfd(&line, place.line)
            .map_err(|error| failed(error.into()))?;
        let (worker, registers) = Self::spawn(device, place.memory, line, kind, place.end)?;
        registers
            .listen(place.vm, place.registers)
            .map_err(failed)?;
        Ok((worker, registers))
    }

    /// Starts a device's thread, which interrupts by `line`.
    pub(super) fn spawn(
        mut device: impl Device + 'static,
        memory: &GuestMemoryMmap,
        line: EventFd,
        kind: seccomp::Thread,
        end: &Arc<End>,
    ) -> Result<(Self, Registers), Error> {
        let (kick, stop) = (event()?, event()?);
        let identity = device.identity();
        let name = format!("guest device {}", identity.kind);
        let shared = Arc::new(Shared::new(line, kick));
        let registers = Registers::new(identity, memory.clone(), Arc::clone(&shared));
        let (memory, end) = (memory.clone(), Arc::clone(end));
        let events = Events::new(&shared.kick, &stop).map_err(failed)?;
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || {
                let _over = Over(&shared, &end);
                // Where filters cannot be set the processors' threads have said so.
                let _ = seccomp::confine(kind);
                run(&mut device, &shared, &memory, events);
            })
            .map_err(failed)?;
        let worker = Self {
            stop,
            thread: Some(thread),
        };
        Ok((worker, registers))
    }

    /// Ends the thread, after what the guest has said already was passed on.
    fn end(&mut self) {
        // A counter that is full wakes it up, too.
        let _ = self.stop.write(1);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said why.
            let _ = thread.join();
        }
    }
}

fn failed(error: io::Error) -> Error {
    Error::host("make a device of the machine", error)
}

fn event() -> Result<EventFd, Error> {
    EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC).map_err(failed)
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

/// No machine goes on without one of its devices: ends it when the device's thread panics, and lets nobody wait for
/// that thread.
struct Over<'a>(&'a Shared, &'a End);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.leave();
            let cause = "the thread of a device panicked";
            self.1.because(Cause::Broken(cause.to_owned()));
        }
    }
}

/// Serves a device to the machine's end.
fn run(device: &mut dyn Device, shared: &Shared, memory: &GuestMemoryMmap, mut events: Events) {
    loop {
        let more = turn(device, shared, memory);
        // A wait that fails is over at once, and the thread looks for what there is to do.
        let stop = events.wait(device.waits(), more).unwrap_or(false);
        // Before it looks for what there is to do, so that nothing is missed.
        let _ = shared.kick.read();
        if stop {
            break;
        }
    }
    let mut active = locked(&shared.active);
    let queues = active.queues.as_mut().map(|queues| Queues {
        queues,
        memory,
        interrupt: &shared.interrupt,
    });
    match queues {
        Some(mut queues) => device.finish(Some(&mut queues)),
        None => device.finish(None),
    }
}

/// Does what there is to do, for a while.
fn turn(device: &mut dyn Device, shared: &Shared, memory: &GuestMemoryMmap) -> bool {
    let mut active = locked(&shared.active);
    let Active {
        queues, stopping, ..
    } = &mut *active;
    let more = match queues {
        None => Ok(false),
        Some(queues) => device.serve(&mut Queues {
            queues,
            memory,
            interrupt: &shared.interrupt,
        }),
    };
    if *stopping {
        // A driver that says goodbye to its device has said before what is passed on now.
        *queues = None;
        *stopping = false;
        device.reset();
        shared.stopped.notify_all();
        return false;
    }
    more.unwrap_or_else(|_| {
        shared.break_down(&mut active);
        false
    })
}

/// What a thread waits for.
struct Events {
    epoll: Epoll,
    /// What the device itself waits for now.
    own: Option<(RawFd, EventSet)>,
}

impl Events {
    /// What the epoll says of the machine's end.
    const STOP: u64 = 0;
    const OTHER: u64 = 1;

    fn new(kick: &EventFd, stop: &EventFd) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        for (file, data) in [(stop, Self::STOP), (kick, Self::OTHER)] {
            let event = EpollEvent::new(EventSet::IN, data);
            epoll.ctl(ControlOperation::Add, file.as_raw_fd(), event)?;
        }
        Ok(Self { epoll, own: None })
    }

    /// Waits for something to do, or only looks for the end if there is more to do; tells whether the machine
    /// has ended.
    fn wait(&mut self, own: Option<(RawFd, EventSet)>, more: bool) -> io::Result<bool> {
        self.watch(own)?;
        let mut events = [EpollEvent::default(); 3];
        let limit = if more { 0 } else { -1 };
        let count = self.epoll.wait(limit, &mut events)?;
        let mut happened = events.iter().take(count);
        Ok(happened.any(|event| event.data() == Self::STOP))
    }

    /// Listens to what the device waits for, and no longer to what it waited for.
    fn watch(&mut self, own: Option<(RawFd, EventSet)>) -> io::Result<()> {
        let same = |a: Option<(RawFd, EventSet)>, b: Option<(RawFd, EventSet)>| match (a, b) {
            (Some(a), Some(b)) => a.0 == b.0,
            _ => false,
        };
        let operation = match own {
            _ if own == self.own => return Ok(()),
            Some(_) if same(own, self.own) => ControlOperation::Modify,
            _ => {
                if let Some((fd, _)) = self.own.take() {
                    self.epoll
                        .ctl(ControlOperation::Delete, fd, EpollEvent::default())?;
                }
                ControlOperation::Add
            }
        };
        if let Some((fd, set)) = own {
            self.epoll
                .ctl(operation, fd, EpollEvent::new(set, Self::OTHER))?;
        }
        self.own = own;
        Ok(())
    }
}
