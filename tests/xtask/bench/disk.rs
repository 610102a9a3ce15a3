//! Disks in one run, against the filesystem alone, and against the filesystem and a conversion of it.

use std::os::unix::fs::symlink;

use forger_tests::rootfs;

use super::Bench;
use super::report::Report;
use crate::Outcome;

impl Bench {
    /// Makes disks of a Debian that boots, and of the large one without a boot partition.
    pub(super) fn disks(&self, report: &mut Report) -> Outcome {
        let packages = "--include=linux-image-cloud-amd64,systemd-sysv,systemd-boot-efi,udev,login";
        let args = ["--variant=minbase", packages, "bookworm"];
        let tar = rootfs::made("boot-bookworm.tar", &args)?;
        let link = self.out("bootable.tar");
        if link.symlink_metadata().is_ok() {
            std::fs::remove_file(&link)?;
        }
        symlink(&tar, &link)?;
        for (title, goal, [ours, theirs]) in [
            (
                "bootable tar -> zstd qcow2 disk",
                0.9,
                [
                    "\"$F\" disk -q bootable.tar -o \"$O\" --format qcow2 --compress zstd >&2",
                    "\"$F\" mkfs -q --force bootable.tar part.ext4 >&2; \
                     \"$F\" convert -q part.ext4 \"$O\" --format qcow2 --compress zstd >&2; rm part.ext4",
                ],
            ),
            (
                "bootable tar -> raw disk",
                1.3,
                [
                    "\"$F\" disk -q bootable.tar -o \"$O\" --format raw >&2",
                    "\"$F\" mkfs -q bootable.tar \"$O\" >&2",
                ],
            ),
            (
                "bootable tar -> qcow2 disk",
                1.3,
                [
                    "\"$F\" disk -q bootable.tar -o \"$O\" --format qcow2 >&2",
                    "\"$F\" mkfs -q bootable.tar \"$O\" >&2",
                ],
            ),
            (
                "tar -> zstd qcow2 disk",
                0.9,
                [
                    "\"$F\" disk -q \"$T\" -o \"$O\" --boot none --format qcow2 --compress zstd >&2",
                    "\"$F\" mkfs -q --force \"$T\" part.ext4 >&2; \
                     \"$F\" convert -q part.ext4 \"$O\" --format qcow2 --compress zstd >&2; rm part.ext4",
                ],
            ),
            (
                "tar -> raw disk",
                1.3,
                [
                    "\"$F\" disk -q \"$T\" -o \"$O\" --boot none --format raw >&2",
                    "\"$F\" mkfs -q \"$T\" \"$O\" >&2",
                ],
            ),
            (
                "tar -> qcow2 disk",
                1.3,
                [
                    "\"$F\" disk -q \"$T\" -o \"$O\" --boot none --format qcow2 >&2",
                    "\"$F\" mkfs -q \"$T\" \"$O\" >&2",
                ],
            ),
        ] {
            let contestants = vec![
                self.script("forger disk", ours),
                self.script("forger mkfs, and convert", theirs),
            ];
            report.race(self.race(title, Some(goal), contestants))?;
        }
        Ok(())
    }
}
