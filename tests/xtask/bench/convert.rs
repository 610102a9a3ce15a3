//! Conversions of a disk of 4 GiB, of which the last 2 GiB are contents, against qemu-img.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::Bench;
use super::report::Report;
use crate::Outcome;

/// Size of the disk, and where its contents begin, in bytes.
const SIZE: u64 = 4 << 30;
const START: u64 = 2 << 30;

impl Bench {
    /// Converts the disk to and fro.
    pub(super) fn convert(&self, report: &mut Report) -> Outcome {
        self.disk()?;
        let races = [
            (
                "raw -> qcow2, zstd",
                Some(0.56),
                [
                    "\"$F\" convert -q --force disk.raw \"$O\" --format qcow2 --compress zstd >&2",
                    "qemu-img convert -c -o compression_type=zstd -O qcow2 disk.raw \"$O\"; sync -d \"$O\"",
                ],
            ),
            (
                "raw -> qcow2, zlib",
                Some(0.56),
                [
                    "\"$F\" convert -q --force disk.raw \"$O\" --format qcow2 --compress zlib >&2",
                    "qemu-img convert -c -O qcow2 disk.raw \"$O\"; sync -d \"$O\"",
                ],
            ),
            (
                "raw -> qcow2",
                Some(1.1),
                [
                    "\"$F\" convert -q --force disk.raw \"$O\" --format qcow2 >&2",
                    "qemu-img convert -O qcow2 disk.raw \"$O\"; sync -d \"$O\"",
                ],
            ),
            (
                "raw -> raw",
                Some(1.1),
                [
                    "\"$F\" convert -q --force disk.raw \"$O\" --format raw >&2",
                    "qemu-img convert -O raw disk.raw \"$O\"; sync -d \"$O\"",
                ],
            ),
            (
                "qcow2 zstd -> raw",
                Some(1.0),
                [
                    "\"$F\" convert -q --force disk.zstd.qcow2 \"$O\" --format raw >&2",
                    "qemu-img convert -O raw disk.zstd.qcow2 \"$O\"; sync -d \"$O\"",
                ],
            ),
            (
                "qcow2 zlib -> raw",
                Some(1.0),
                [
                    "\"$F\" convert -q --force disk.zlib.qcow2 \"$O\" --format raw >&2",
                    "qemu-img convert -O raw disk.zlib.qcow2 \"$O\"; sync -d \"$O\"",
                ],
            ),
        ];
        for (title, goal, [ours, theirs]) in races {
            let contestants = vec![
                self.script("forger convert", ours),
                self.script("qemu-img convert, sync -d", theirs),
            ];
            report.race(self.race(title, goal, contestants))?;
        }
        Ok(())
    }

    /// Makes the disk, of the tar's bytes as often as they fit, and its compressed forms.
    fn disk(&self) -> Outcome {
        let tar = File::open(&self.inputs.tar)?;
        let path = self.out("disk.raw");
        let disk = File::create(&path)?;
        disk.set_len(SIZE)?;
        let mut buffer = vec![0; 8 << 20];
        let (mut from, mut at) = (0, START);
        while at < SIZE {
            let len = tar.read_at(&mut buffer, from)?;
            if len == 0 && from == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let room = usize::try_from(SIZE - at).unwrap_or(usize::MAX);
            let len = len.min(room);
            disk.write_all_at(&buffer[..len], at)?;
            at += len as u64;
            from = if len == 0 { 0 } else { from + len as u64 };
        }
        for codec in ["zstd", "zlib"] {
            let packed = self.out(&format!("disk.{codec}.qcow2"));
            let args = [
                "convert",
                "-q",
                "--force",
                "--format",
                "qcow2",
                "--compress",
            ];
            self.forger_ok(&[&args[..], &[codec]].concat(), &[&path, &packed])?;
        }
        Ok(())
    }
}
