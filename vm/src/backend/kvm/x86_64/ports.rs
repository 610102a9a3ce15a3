//! Ports: what a guest reaches by `in` and `out`.

use std::io::{self, Write};
use std::sync::Mutex;

use kvm_ioctls::VmFd;
use vm_superio::serial::NoEvents;
use vm_superio::{I8042Device, Serial, Trigger};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::SERIAL_LINE;
use crate::cause::Cause;
use crate::channel::locked;
use crate::console::Console;
use crate::error::Error;

/// The serial port's eight registers.
pub(super) const SERIAL: u16 = 0x3f8;
/// The keyboard controller's data and command registers.
const KEYBOARD: u16 = 0x60;
const KEYBOARD_COMMAND: u16 = 0x64;
/// What tells that the kernel panicked: [pvpanic](https://www.qemu.org/docs/master/specs/pvpanic.html), a byte.
pub(super) const PANIC: u16 = 0x505;
/// In it: the kernel panicked, and nothing else comes after it. It is what the device can, too.
const PANICKED: u8 = 1;
/// The register for sleep: ACPI's sleep control register.
pub(super) const SLEEP: u16 = 0x600;
/// The sleep status register, which is always 0.
pub(super) const SLEEP_STATUS: u16 = 0x601;
/// The register for a reset.
pub(super) const RESET: u16 = 0x602;
/// What is written to it.
pub(super) const RESET_VALUE: u8 = 1;
/// The register for a reset that chipsets have, where a kernel looks that does not believe in tables.
const RESET_OLD: u16 = 0xcf9;
/// In it: now.
const RESET_NOW: u8 = 1 << 2;

/// The kind of sleep that is none: the machine is off.
pub(super) const OFF: u8 = 5;
/// In the sleep control register: sleep now.
const SLEEP_ENABLE: u8 = 1 << 5;

/// All ports of a machine.
#[derive(Debug)]
pub(in crate::backend::kvm) struct Ports(Mutex<Inner>);

struct Inner {
    serial: Serial<Line, NoEvents, Said>,
    keyboard: I8042Device<Wish>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

impl Ports {
    /// Makes the ports of a machine, whose kernel's words go to a console.
    pub(in crate::backend::kvm) fn new(vm: &VmFd, console: Console) -> Result<Self, Error> {
        let failed = |error| Error::host("make the serial port", error);
        let line = EventFd::new(EFD_NONBLOCK).map_err(failed)?;
        vm.register_irqfd(&line, SERIAL_LINE)
            .map_err(|error| failed(error.into()))?;
        Ok(Self::on(line, console))
    }

    fn on(line: EventFd, console: Console) -> Self {
        Self(Mutex::new(Inner {
            serial: Serial::new(Line(line), Said(console)),
            keyboard: I8042Device::new(Wish),
        }))
    }

    /// Reads a port; where there is nothing all bits are set.
    pub(in crate::backend::kvm) fn read(&self, port: u16, data: &mut [u8]) {
        data.fill(0xff);
        let [first, ..] = data else { return };
        let mut inner = locked(&self.0);
        match port {
            SERIAL..SLEEP if port - SERIAL < 8 => {
                let register = u8::try_from(port - SERIAL).unwrap_or(0);
                *first = inner.serial.read(register);
            }
            KEYBOARD | KEYBOARD_COMMAND => {
                let register = u8::try_from(port - KEYBOARD).unwrap_or(0);
                *first = inner.keyboard.read(register);
            }
            PANIC => *first = PANICKED,
            SLEEP | SLEEP_STATUS | RESET | RESET_OLD => *first = 0,
            _ => {}
        }
    }

    /// Writes a port; returns why the machine ends with that, if it does.
    pub(in crate::backend::kvm) fn write(&self, port: u16, data: &[u8]) -> Option<Cause> {
        let [value, ..] = *data else { return None };
        let mut inner = locked(&self.0);
        match port {
            SERIAL..SLEEP if port - SERIAL < 8 => {
                let register = u8::try_from(port - SERIAL).unwrap_or(0);
                // An interrupt that is pending already needs no second one.
                let _ = inner.serial.write(register, value);
                None
            }
            KEYBOARD_COMMAND => {
                let register = u8::try_from(port - KEYBOARD).unwrap_or(0);
                inner.keyboard.write(register, value).err()
            }
            SLEEP if value & SLEEP_ENABLE != 0 => Some(match (value >> 2) & 7 {
                OFF => Cause::PowerOff,
                // Nobody can wake it up.
                other => Cause::Broken(format!("the guest wants to sleep in state {other}")),
            }),
            PANIC if value & PANICKED != 0 => Some(Cause::Panic),
            RESET if value == RESET_VALUE => Some(Cause::Reset),
            RESET_OLD if value & RESET_NOW != 0 => Some(Cause::Reset),
            _ => None,
        }
    }
}

/// The serial port's interrupt line.
struct Line(EventFd);

impl Trigger for Line {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.write(1)
    }
}

/// The keyboard controller's reset line, which is the end.
struct Wish;

impl Trigger for Wish {
    type E = Cause;

    fn trigger(&self) -> Result<(), Cause> {
        Err(Cause::Reset)
    }
}

/// What comes out of the serial port.
struct Said(Console);

impl Write for Said {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.push(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports() -> Ports {
        Ports::on(EventFd::new(EFD_NONBLOCK).unwrap(), Console::default())
    }

    #[test]
    fn every_way_to_end_a_machine_ends_it() {
        for (port, value, cause) in [
            (SLEEP, (OFF << 2) | SLEEP_ENABLE, Cause::PowerOff),
            (RESET, RESET_VALUE, Cause::Reset),
            (RESET_OLD, 0x06, Cause::Reset),
            (KEYBOARD_COMMAND, 0xfe, Cause::Reset),
            (PANIC, PANICKED, Cause::Panic),
        ] {
            assert_eq!(ports().write(port, &[value]), Some(cause), "{port:#x}");
        }
        let asleep = ports().write(SLEEP, &[(3 << 2) | SLEEP_ENABLE]);
        assert!(matches!(asleep, Some(Cause::Broken(_))), "{asleep:?}");
    }

    #[test]
    fn no_other_access_does_anything() {
        let ports = ports();
        for port in 0..=u16::MAX {
            let mut read = [0; 4];
            ports.read(port, &mut read[..1]);
            ports.read(port, &mut read);
            ports.read(port, &mut []);
            for value in [0, 2, 0x10, 0x50] {
                assert_eq!(ports.write(port, &[value]), None, "{port:#x}");
                assert_eq!(ports.write(port, &[value; 4]), None, "{port:#x}");
            }
            assert_eq!(ports.write(port, &[]), None);
        }
        // A keyboard controller without a keyboard never makes anybody wait.
        let mut status = [0xff];
        ports.read(KEYBOARD_COMMAND, &mut status);
        assert_eq!(status, [0]);
        let mut nothing = [0];
        ports.read(0x1234, &mut nothing);
        assert_eq!(nothing, [0xff]);
    }

    #[test]
    fn what_goes_to_the_serial_port_stands_in_the_console() {
        let console = Console::default();
        let ports = Ports::on(EventFd::new(EFD_NONBLOCK).unwrap(), console.clone());
        for byte in b"hello" {
            assert_eq!(ports.write(SERIAL, &[*byte]), None);
        }
        assert_eq!(console.tail().text(), "hello");
    }
}
