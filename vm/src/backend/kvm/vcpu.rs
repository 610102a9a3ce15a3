//! A processor of the guest: a thread that runs its instructions until they need the host.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use kvm_ioctls::{VcpuExit, VcpuFd};
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

use super::arch::Ports;
use super::bus::Bus;
use super::end::End;
use super::seccomp;
use crate::cause::Cause;
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
                // No machine goes on without one of its processors.
                let _over = Over(&outside.end);
                let cause = match seccomp::confine(seccomp::Thread::Processor) {
                    Ok(()) => run(&mut vcpu, &outside),
                    Err(error) => Some(Cause::Broken(error.to_string())),
                };
                if let Some(cause) = cause {
                    outside.end.because(cause);
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

/// Ends a machine that has not ended, when this is dropped.
struct Over<'a>(&'a End);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        let cause = "the thread of a processor panicked";
        self.0.because(Cause::Broken(cause.to_owned()));
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
fn run(vcpu: &mut VcpuFd, outside: &Outside) -> Option<Cause> {
    outside.end.entered();
    while !outside.end.is_set() {
        match vcpu.run() {
            Ok(VcpuExit::IoIn(port, data)) => outside.ports.read(port, data),
            Ok(VcpuExit::IoOut(port, data)) => {
                if let Some(cause) = outside.ports.write(port, data) {
                    return Some(cause);
                }
            }
            Ok(VcpuExit::MmioRead(address, data)) => outside.bus.read(address, data),
            Ok(VcpuExit::MmioWrite(address, data)) => outside.bus.write(address, data),
            Ok(VcpuExit::Hlt | VcpuExit::Intr | VcpuExit::IrqWindowOpen) => {}
            Ok(VcpuExit::Shutdown) => return Some(Cause::TripleFault),
            Ok(VcpuExit::SystemEvent(..)) => return Some(Cause::Reset),
            Ok(exit) => return Some(Cause::Broken(format!("{exit:?}"))),
            Err(error) => {
                let error = std::io::Error::from(error);
                match error.kind() {
                    std::io::ErrorKind::Interrupted | std::io::ErrorKind::WouldBlock => {}
                    _ => return Some(Cause::Broken(error.to_string())),
                }
            }
        }
    }
    None
}
