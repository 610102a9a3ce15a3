//! Commands in guests of User-Mode Linux, against that kernel alone with a disk of its own.

use std::path::Path;

use forger_tests::rootfs;

use super::Bench;
use super::report::Report;
use crate::Outcome;

/// Boots User-Mode Linux on a disk of its own, whose script does the work and powers off. `$P` is what
/// forger loads into it, without which it does not run on every processor.
const BARE: &str = "P=$(ls -t ../release/build/forger-vm-*/out/preload.so | head -1)
env -i HOME=/ TMPDIR=/dev/shm LD_PRELOAD=\"$PWD/$P\" linux.uml mem=1G ubd0d=bare.ext4 \
    root=/dev/ubda rw quiet con=null con0=null,fd:1 init=/bin/sh /bare.sh < /dev/null > \"$O\" 2>&1
grep -q DONE \"$O\"";

impl Bench {
    /// A start to the end of `true`, and work in a guest.
    pub(super) fn guests(&self, report: &mut Report) -> Outcome {
        let tar = rootfs::minbase().ok_or("there is no root filesystem for guests")?;
        let image = self.out("guest.ext4");
        self.forger_ok(&["mkfs", "-q", "--force", "--size", "2G"], &[&tar, &image])?;
        let works = [
            ("run true", 3.0, "true"),
            (
                "sha256 of 200 MB",
                1.25,
                "head -c 200000000 /dev/zero | sha256sum > /dev/null",
            ),
            (
                "gzip of 200 MB",
                1.25,
                "head -c 200000000 /dev/zero | gzip > /dev/null",
            ),
            (
                "500 forks",
                1.25,
                "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done",
            ),
            (
                "write and flush 200 MB",
                1.25,
                "dd if=/dev/zero of=/srv/f bs=1M count=200 conv=fsync 2> /dev/null",
            ),
        ];
        for (title, goal, work) in works {
            let script = format!(
                "mount -t proc proc /proc\n{work}\necho DONE\nsync\necho o > /proc/sysrq-trigger\nsleep 60\n"
            );
            let (bare, file) = (self.out("bare.ext4"), self.out("bare.sh"));
            std::fs::write(&file, script)?;
            self.forger_ok(&["mkfs", "-q", "--force", "--size", "2G"], &[&tar, &bare])?;
            self.forger_ok(
                &["edit", "-q"],
                &[&bare, Path::new("put"), &file, Path::new("/bare.sh")],
            )?;
            let with = |name, script: &'static str| {
                let mut contestant = self.script(name, script);
                let (image, run) = (image.clone(), contestant.run);
                let work = format!("{work}; echo DONE");
                contestant.run = Box::new(move || run().env("I", &image).env("S", &work));
                contestant
            };
            let contestants = vec![
                with(
                    "forger run",
                    "\"$F\" run -q --backend uml --memory 1G \"$I\" -- sh -c \"$S\" > \"$O\"; grep -q DONE \"$O\"",
                ),
                with("linux.uml with ubd", BARE),
            ];
            report.race(self.race(title, Some(goal), contestants))?;
        }
        self.transfers(&tar, report)
    }

    /// Content out of a guest and into it, against `cat` through a pipe; 1 GB is more than 200 MB/s in five
    /// seconds beyond the start.
    fn transfers(&self, tar: &Path, report: &mut Report) -> Outcome {
        let with = |name, script: &'static str| {
            let mut contestant = self.script(name, script);
            let (tar, run) = (tar.to_owned(), contestant.run);
            contestant.run = Box::new(move || run().env("R", &tar));
            contestant
        };
        let out = vec![
            with(
                "forger run, 1 GB out",
                "\"$F\" run -q \"$R\" -- head -c 1000000000 /dev/zero | wc -c > \"$O\"",
            ),
            with("forger run, 0 GB", "\"$F\" run -q \"$R\" -- true > \"$O\""),
        ];
        report.race(self.race("1 GB out of a guest", None, out))?;
        let into = vec![
            with(
                "forger run, 1 GB in",
                "head -c 1000000000 /dev/zero | \"$F\" run -q -i \"$R\" -- wc -c > \"$O\"",
            ),
            with("forger run, 0 GB", "\"$F\" run -q \"$R\" -- true > \"$O\""),
        ];
        report.race(self.race("1 GB into a guest", None, into))
    }
}
