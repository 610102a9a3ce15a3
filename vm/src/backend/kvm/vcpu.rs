//! A processor of the guest: a thread that runs its instructions until they need the host.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use kvm_ioctls::{VcpuExit, VcpuFd};
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

use super::arch::Ports;
use super::bus::Bus;
use super::end::{End, Reason};
use super::seccomp;
use crate::error::Error;

/// What the processors share.
#[derive(Debug)]
pub(super) struct Outside {
    pub(super) ports: Ports,
    pub(super) bus: Bus,
    pub(super) end: Arc<End>,
}

/// A processor that runs.
#[derive(Debug)]
pub(super) struct Vcpu(JoinHandle<()>);

impl Vcpu {
    /// Starts a processor.
    pub(super) fn start(
        number: u32,
        mut vcpu: VcpuFd,
        outside: &Arc<Outside>,
    ) -> Result<Self, Error> {
        let outside = Arc::clone(outside);
        thread::Builder::new()
            .name(format!("guest cpu {number}"))
            .spawn(move || {
                let reason = match seccomp::confine(seccomp::Thread::Processor) {
                    Ok(()) => run(&mut vcpu, &outside),
                    Err(error) => Some(Reason::Broken(error.to_string())),
                };
                if let Some(reason) = reason {
                    outside.end.because(reason);
                }
            })
            .map(Self)
            .map_err(|error| Error::host("start a thread", error))
    }

    /// Interrupts it, so that it sees the machine's end; tells whether it is over.
    pub(super) fn kick(&self) -> bool {
        if !self.0.is_finished() {
            // It may end meanwhile: a thread that is not yet joined can still be sent a signal.
            let _ = self.0.kill(signal());
        }
        self.0.is_finished()
    }

    /// Waits for its end.
    pub(super) fn join(self) {
        // A thread that panicked has said why; the machine ends in any case.
        let _ = self.0.join();
    }
}

/// The signal by which processors are interrupted; it does nothing else.
fn signal() -> i32 {
    SIGRTMIN()
}

/// Makes this process survive the signal.
pub(super) fn prepare() -> Result<(), Error> {
    extern "C" fn nothing(_: i32, _: *mut libc::siginfo_t, _: *mut std::ffi::c_void) {}
    register_signal_handler(signal(), nothing)
        .map_err(|error| Error::host("handle a signal", std::io::Error::from(error)))
}

/// Runs a processor to the machine's end; returns what ended it, if it was this processor.
fn run(vcpu: &mut VcpuFd, outside: &Outside) -> Option<Reason> {
    outside.end.entered();
    while !outside.end.is_set() {
        match vcpu.run() {
            Ok(VcpuExit::IoIn(port, data)) => outside.ports.read(port, data),
            Ok(VcpuExit::IoOut(port, data)) => {
                if let Some(reason) = outside.ports.write(port, data) {
                    return Some(reason);
                }
            }
            Ok(VcpuExit::MmioRead(address, data)) => outside.bus.read(address, data),
            Ok(VcpuExit::MmioWrite(address, data)) => outside.bus.write(address, data),
            Ok(VcpuExit::Hlt | VcpuExit::Intr | VcpuExit::IrqWindowOpen) => {}
            Ok(VcpuExit::Shutdown) => return Some(Reason::TripleFault),
            Ok(VcpuExit::SystemEvent(..)) => return Some(Reason::Reset),
            Ok(exit) => return Some(Reason::Broken(format!("{exit:?}"))),
            Err(error) => {
                let error = std::io::Error::from(error);
                match error.kind() {
                    std::io::ErrorKind::Interrupted | std::io::ErrorKind::WouldBlock => {}
                    _ => return Some(Reason::Broken(error.to_string())),
                }
            }
        }
    }
    None
}
