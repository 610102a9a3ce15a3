//! A machine that is a process of the host, and its disks.

use std::sync::Arc;
use std::time::Duration;

use forger_block::BlockRead;

use super::{Child, CopiedDisk, Instance, ServedDisk};
use crate::error::Error;

/// A disk of a machine, however that reaches it.
#[derive(Debug)]
pub(crate) enum MachineDisk {
    Copied(CopiedDisk),
    Served(ServedDisk),
}

/// A machine that runs as a process.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) disks: Vec<MachineDisk>,
}

impl Instance for Running {
    fn kill(&self) {
        self.child.kill();
    }

    fn wait(&self, limit: Duration) -> bool {
        self.child.wait(limit)
    }

    fn disk(&self, number: usize) -> Result<Arc<dyn BlockRead>, Error> {
        let disk = self.disks.get(number).ok_or_else(|| Error::Option {
            option: "disks",
            reason: format!("there is no disk {number}"),
        })?;
        match disk {
            MachineDisk::Copied(disk) => disk.reader(),
            MachineDisk::Served(disk) => {
                if self.child.wait(Duration::ZERO) {
                    disk.end()?;
                }
                Ok(disk.reader())
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill();
        self.child.wait(Duration::from_secs(5));
        for disk in &self.disks {
            if let MachineDisk::Served(disk) = disk {
                // Nobody is left to be told.
                let _ = disk.end();
            }
        }
    }
}
