//! Block devices, which are written in place.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use bytes::Bytes;
use rustix::fs::OFlags;

use super::writer::{Medium, Writer};
use crate::file::{device_len, kind_name};
use crate::positioned::Positioned;
use crate::ranges::RangeSet;
use crate::read::check_range;
use crate::{Error, MAX_LEN, PlacedSink, Publish, Result};

/// A [`PlacedSink`] into a block device.
///
/// A device has no unfinished state: what is written is there, and stays when the sink is
/// dropped. At the end every byte of the image that was not written is made zero; what the device
/// has beyond the image stays as it is.
#[derive(Debug)]
pub struct BlockDeviceSink {
    writer: Writer<Device>,
    written: RangeSet,
    /// The device's name and length in bytes.
    name: String,
    size: u64,
    sync: bool,
}

#[derive(Debug)]
struct Device(Positioned);

impl Medium for Device {
    fn file(&self) -> &Positioned {
        &self.0
    }
}

impl BlockDeviceSink {
    /// Opens a device that nobody else uses.
    ///
    /// # Errors
    /// [`Error::Device`] without `publish.force`; [`Error::NotAnOutput`] for anything but a block
    /// device; [`Error::Io`], with the cause *resource busy* while it is mounted.
    pub fn open(path: impl AsRef<Path>, publish: Publish) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        if !publish.force {
            return Err(Error::Device { path: name });
        }
        // Without CREATE, EXCL asks that no filesystem and no other program holds the device.
        let flags = i32::try_from(OFlags::EXCL.bits()).unwrap_or(0);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(path)
            .map_err(|error| Error::io("open", &name, error))?;
        let device = Positioned::new(file, name);
        let kind = match device.file.metadata() {
            Ok(metadata) => metadata.file_type(),
            Err(error) => return Err(device.error("inspect", error)),
        };
        if !kind.is_block_device() {
            return Err(Error::NotAnOutput {
                path: device.name,
                kind: kind_name(kind),
            });
        }
        let size = device_len(&device)?;
        Self::over(device, size, publish.sync)
    }

    fn over(device: Positioned, size: u64, sync: bool) -> Result<Self> {
        Ok(Self {
            name: device.name.clone(),
            writer: Writer::start(Device(device), sync)?,
            written: RangeSet::default(),
            size,
            sync,
        })
    }

    /// Returns the device's length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Checks that the device reaches so far.
    fn check_size(&self, needed: u64) -> Result<()> {
        if needed <= self.size {
            return Ok(());
        }
        Err(Error::TooSmall {
            path: self.name.clone(),
            size: self.size,
            needed,
        })
    }
}

impl PlacedSink for BlockDeviceSink {
    fn write_at(&mut self, offset: u64, data: Bytes) -> Result<()> {
        let len = data.len() as u64;
        check_range(offset, len, MAX_LEN)?;
        self.check_size(offset + len)?;
        self.writer.write_at(offset, data)?;
        self.written.insert(offset..offset + len);
        Ok(())
    }

    fn punch(&mut self, offset: u64, len: u64) -> Result<()> {
        check_range(offset, len, MAX_LEN)?;
        // The end makes it zero with everything else that was not written.
        self.written.remove(offset..offset + len);
        Ok(())
    }

    fn finish(self: Box<Self>, len: u64) -> Result<()> {
        check_range(0, len, MAX_LEN)?;
        check_range(0, self.writer.end(), len)?;
        self.check_size(len)?;
        let Self {
            writer,
            written,
            sync,
            ..
        } = *self;
        let Device(device) = writer.finish()?;
        for gap in written.gaps(len) {
            device.zero(gap.start, gap.end - gap.start)?;
        }
        if sync { device.sync() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
