use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::conformance::{self, Made};

const FORCE: Publish = Publish {
    force: true,
    sync: true,
};

/// A sink that notes the length of what it was finished with: a device does not know it.
struct Noted(BlockDeviceSink, Arc<AtomicU64>);

impl PlacedSink for Noted {
    fn write_at(&mut self, offset: u64, data: Bytes) -> Result<()> {
        self.0.write_at(offset, data)
    }
    fn punch(&mut self, offset: u64, len: u64) -> Result<()> {
        self.0.punch(offset, len)
    }
    fn finish(self: Box<Self>, len: u64) -> Result<()> {
        let Self(sink, noted) = *self;
        Box::new(sink).finish(len)?;
        noted.store(len, Ordering::Relaxed);
        Ok(())
    }
}

/// A file full of old bytes stands in for the device.
fn old_bytes(size: usize) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), vec![0xFF; size]).unwrap();
    file
}

#[test]
fn everything_not_written_is_zero_on_a_device_of_old_bytes() {
    conformance::placed_content(|| {
        let old = old_bytes(6 << 20);
        let file = File::options().read(true).write(true).open(old.path());
        let device = Positioned::new(file.unwrap(), "device");
        let sink = BlockDeviceSink::over(device, 6 << 20, false).unwrap();
        let len = Arc::new(AtomicU64::new(0));
        Made::placed(Noted(sink, Arc::clone(&len)), move || {
            let mut bytes = fs::read(old.path()).unwrap();
            assert_eq!(bytes.len(), 6 << 20, "a device does not grow");
            let len = usize::try_from(len.load(Ordering::Relaxed)).unwrap();
            assert!(bytes[len..].iter().all(|&byte| byte == 0xFF));
            bytes.truncate(len);
            Some(bytes)
        })
    });
}

#[test]
fn a_device_that_is_too_small_is_an_error_before_anything_beyond_is_written() {
    let old = old_bytes(10_000);
    let open = || {
        let file = File::options().read(true).write(true).open(old.path());
        BlockDeviceSink::over(Positioned::new(file.unwrap(), "device"), 10_000, true).unwrap()
    };
    let error = open().write_at(9_999, vec![1; 2].into()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "device has 10000 bytes, 10001 are needed"
    );
    let error = Box::new(open()).finish(10_001).unwrap_err();
    assert!(matches!(error, Error::TooSmall { needed: 10_001, .. }));
    assert_eq!(fs::read(old.path()).unwrap(), vec![0xFF; 10_000]);
}

#[test]
fn only_block_devices_are_opened_and_only_with_force() {
    let file = old_bytes(10);
    let error = BlockDeviceSink::open(file.path(), Publish::default()).unwrap_err();
    assert!(matches!(error, Error::Device { .. }));
    let error = BlockDeviceSink::open(file.path(), FORCE).unwrap_err();
    assert!(matches!(error, Error::NotAnOutput { .. }), "{error:?}");
    assert_eq!(fs::read(file.path()).unwrap(), [0xFF; 10]);
}

/// A loop device over a file, detached when dropped.
struct Loop(PathBuf);

impl Loop {
    fn attach(file: &Path) -> Option<Self> {
        let output = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(file)
            .output();
        match output {
            Ok(output) if output.status.success() => {
                let name = String::from_utf8(output.stdout).unwrap();
                Some(Self(name.trim().into()))
            }
            _ => {
                assert!(
                    std::env::var_os("REQUIRE_TOOLS").is_none(),
                    "cannot attach a loop device"
                );
                eprintln!("skipped: cannot attach a loop device");
                None
            }
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.0).status();
    }
}

#[test]
fn a_real_device_is_written_and_zeroed_up_to_the_end_of_the_image() {
    let old = old_bytes(8 << 20);
    let Some(device) = Loop::attach(old.path()) else {
        return;
    };
    let mut sink = Box::new(BlockDeviceSink::open(&device.0, FORCE).unwrap());
    assert_eq!(sink.size(), 8 << 20);
    let busy = BlockDeviceSink::open(&device.0, FORCE).unwrap_err();
    let Error::Io { source, .. } = busy else {
        panic!("{busy:?}");
    };
    assert_eq!(source.kind(), ErrorKind::ResourceBusy);

    let mut expected = vec![0; 8 << 20];
    for (at, len) in [(100, 5000), (3 << 20, 1 << 20), ((5 << 20) + 77, 1)] {
        sink.write_at(at as u64, vec![7; len].into()).unwrap();
        expected[at..at + len].fill(7);
    }
    sink.punch((3 << 20) + 10, 500_000).unwrap();
    expected[(3 << 20) + 10..][..500_000].fill(0);
    expected[(6 << 20) + 5..].fill(0xFF);
    sink.finish((6 << 20) + 5).unwrap();
    let reader = crate::FileReader::open(&device.0).unwrap();
    conformance::reader(&reader, &expected);
    assert!(fs::read(old.path()).unwrap() == expected, "backing file");
}
