//! Looking into an image, against the kernel's mount of it and debugfs, caches warm for all.

use std::fs::{self, File};
use std::path::Path;

use forger_tests::mount::Mount;
use forger_tests::process::Run;

use super::Bench;
use super::measure::Contestant;
use super::report::Report;
use crate::Outcome;

/// How many names the linear folder has.
const NAMES: usize = 22_000;

impl Bench {
    /// Reads everything, lists everything, and lists a large folder without an index.
    pub(super) fn inspect(&self, report: &mut Report) -> Outcome {
        let image = self.out("image.ext4");
        self.forger_ok(&["mkfs", "-q", "--force"], &[&self.inputs.tar, &image])?;
        let mount = Mount::read_only(&image);
        let of = |name, script| self.looker(name, script, &image, mount.path());
        let everything = vec![
            of(
                "forger extract --to-tar - | wc -c",
                "\"$F\" extract -q \"$I\" --to-tar - | wc -c > \"$O\"",
            ),
            of(
                "tar -C MNT -cf - . | wc -c",
                "tar -C \"$M\" --sort=none -cf - . 2> /dev/null | wc -c > \"$O\"",
            ),
        ];
        report.race(self.race("image -> tar", Some(1.3), everything))?;
        let listing = vec![
            of("forger ls -R", "\"$F\" ls -R \"$I\" > \"$O\""),
            of("ls -R MNT", "ls -R \"$M\" > \"$O\""),
        ];
        report.race(self.race("ls -R", Some(2.0), listing))?;
        fs::write(self.out("lists"), requests(mount.path())?)?;
        let lists = vec![
            of("forger ls -lR", "\"$F\" ls -lR \"$I\" > \"$O\""),
            of(
                "debugfs, ls -l for every folder",
                "debugfs -f \"${O%/*}/lists\" \"$I\" > \"$O\" 2> /dev/null",
            ),
            of("ls -lnR MNT", "ls -lnR \"$M\" > \"$O\""),
        ];
        report.race(self.race("ls -lR", Some(0.2), lists))?;
        drop(mount);
        self.linear(report)
    }

    /// Lists a folder of many names that has no index.
    fn linear(&self, report: &mut Report) -> Outcome {
        let (folder, image) = (self.out("linear"), self.out("linear.ext4"));
        fs::create_dir_all(&folder)?;
        for name in 0..NAMES {
            fs::write(folder.join(format!("name-of-a-file-{name:06}")), "x")?;
        }
        File::create(&image)?.set_len(400 << 20)?;
        let made = Run::new("mkfs.ext4")
            .args(["-q", "-F", "-N", "40000", "-d"])
            .arg(&folder)
            .arg(&image)
            .try_output()?;
        if !made.status.success() {
            return Err(made.to_string().into());
        }
        fs::remove_dir_all(&folder)?;
        let mount = Mount::read_only(&image);
        let of = |name, script| self.looker(name, script, &image, mount.path());
        let contestants = vec![
            of("forger ls -l", "\"$F\" ls -l \"$I\" > \"$O\""),
            of("ls -ln MNT", "ls -ln \"$M\" > \"$O\""),
        ];
        report.race(self.race("ls -l of 22,000 names, no index", Some(2.0), contestants))
    }

    /// Makes a contestant of a shell script, in which `$F` is forger, `$I` the image, `$M` where it is
    /// mounted and `$O` the output.
    fn looker(
        &self,
        name: &'static str,
        script: &'static str,
        image: &Path,
        mount: &Path,
    ) -> Contestant {
        let output = self.out("output");
        let (forger, image, mount) = (self.forger.clone(), image.to_owned(), mount.to_owned());
        let to = output.clone();
        let run = move || {
            Run::new("bash")
                .args(["-euc", script])
                .env("F", &forger)
                .env("I", &image)
                .env("M", &mount)
                .env("O", &to)
                .limit(1800)
        };
        Contestant {
            name,
            output,
            run: Box::new(run),
        }
    }
}

/// Returns a request to debugfs for every folder.
fn requests(mount: &Path) -> Result<Vec<u8>, String> {
    let run = Run::new("find").arg(mount);
    let run = run.args(["-type", "d", "-printf", "ls -l \"/%P\"\\n"]);
    Ok(run.try_output()?.stdout)
}
