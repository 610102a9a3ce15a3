//! Random bytes: VIRTIO 1.2, section 5.4.

use std::fs::File;
use std::io::Read;

use super::{Broken, Device, Identity, Queues, VERSION_1, rings};

/// The number of its kind.
const KIND: u32 = 4;

/// Most bytes at once.
const PIECE: usize = 4096;

/// A source of random bytes.
#[derive(Debug)]
pub(in crate::backend::kvm) struct Entropy(pub(in crate::backend::kvm) File);

impl Device for Entropy {
    fn identity(&self) -> Identity {
        Identity {
            kind: KIND,
            features: VERSION_1,
            queues: 1,
            configuration: Vec::new(),
        }
    }

    fn serve(&mut self, queues: &mut Queues<'_>) -> Result<bool, Broken> {
        let memory = queues.memory;
        queues.each(0, |chain| {
            let mut bytes = [0; PIECE];
            // A source that has none gives none: the driver asks somebody else.
            let len = self.0.read(&mut bytes).unwrap_or(0);
            let written = rings::write(chain, memory, &bytes[..len])?;
            Ok(Some(u32::try_from(written).unwrap_or(0)))
        })
    }
}
