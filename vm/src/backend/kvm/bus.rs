//! Which device a guest's address belongs to.

use std::sync::Mutex;

use super::arch;
use super::virtio::Registers;
use crate::channel::locked;

/// The registers of all virtio devices, in the guest's address space.
#[derive(Debug)]
pub(super) struct Bus(Vec<Mutex<Registers>>);

impl Bus {
    /// Puts devices next to each other.
    pub(super) fn new(devices: Vec<Registers>) -> Self {
        Self(devices.into_iter().map(Mutex::new).collect())
    }

    /// Reads registers; where there is no device all bits are set.
    pub(super) fn read(&self, address: u64, data: &mut [u8]) {
        match self.find(address) {
            Some((device, offset)) => locked(device).read(offset, data),
            None => data.fill(0xff),
        }
    }

    /// Writes registers; where there is no device nothing happens.
    pub(super) fn write(&self, address: u64, data: &[u8]) {
        if let Some((device, offset)) = self.find(address) {
            locked(device).write(offset, data);
        }
    }

    fn find(&self, address: u64) -> Option<(&Mutex<Registers>, u64)> {
        let within = address.checked_sub(arch::REGISTERS)?;
        let number = usize::try_from(within / arch::REGISTERS_LEN).ok()?;
        Some((self.0.get(number)?, within % arch::REGISTERS_LEN))
    }
}
