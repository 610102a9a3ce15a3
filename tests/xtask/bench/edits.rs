//! 20,000 edits of an image, against the same as a script for debugfs; caches warm and results durable
//! for both. The edits are puts, changes of owner and mode, and removals in equal parts, in random
//! order, spread over all folders: of one large folder, of the Debian (also with a journal that does not
//! hold the change), and of a crowd of small folders.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use forger_tests::archive::{Archive, Member};
use forger_tests::mount::Mount;
use forger_tests::process::Run;

use super::Bench;
use super::measure::Contestant;
use super::report::Report;
use crate::Outcome;

/// How many edits of each kind there are.
const EACH: usize = 5000;
/// How many files the crowd has, and in how many folders.
const FILES: usize = 20_000;
const FOLDERS: usize = 2000;
/// How many files of this machine are put, over and over, and how much longer each is than the last.
const SOURCES: usize = 50;
const STEP: usize = 150;

/// An image and the same edits for both.
struct Edits {
    image: PathBuf,
    forger: PathBuf,
    debugfs: PathBuf,
}

impl Bench {
    /// Edits images; each contestant's result must be clean.
    pub(super) fn edits(&self, report: &mut Report) -> Outcome {
        let debian = self.with_room(&self.inputs.tar, "debian")?;
        let mut edits = self.write_edits(&debian, "debian")?;
        self.edit_race(report, "20,000 edits of the Debian", &edits)?;
        edits.image = self.with_small_journal(&debian)?;
        self.edit_race(report, "20,000 edits, journal of 4 MiB", &edits)?;
        for (title, name, folders) in [
            ("20,000 edits, 2,000 folders", "crowd", FOLDERS),
            ("20,000 edits, 1 folder", "folder", 1),
        ] {
            let tar = self.out("crowd.tar");
            fs::write(&tar, crowd(folders))?;
            let image = self.with_room(&tar, name)?;
            let edits = self.write_edits(&image, name)?;
            self.edit_race(report, title, &edits)?;
        }
        Ok(())
    }

    /// Copies an image and gives the copy the smallest journal that there is.
    fn with_small_journal(&self, image: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
        let copy = self.out("edited-small-journal.ext4");
        let cp = Run::new("cp").arg("--sparse=always").arg(image).arg(&copy);
        run(cp)?;
        for args in [["-O", "^has_journal"], ["-J", "size=4"]] {
            run(Run::new("tune2fs").args(args).arg(&copy))?;
        }
        Ok(copy)
    }

    /// Makes an image with room for the edits, and so with a journal that holds them.
    fn with_room(&self, tar: &Path, name: &str) -> Result<PathBuf, Box<dyn std::error::Error>> {
        let image = self.out(&format!("edited-{name}.ext4"));
        let args = ["mkfs", "-q", "--force", "--free", "512M"];
        self.forger_ok(&args, &[tar, &image])?;
        Ok(image)
    }

    fn edit_race(&self, report: &mut Report, title: &'static str, edits: &Edits) -> Outcome {
        let of = |name, script: &Path, line| {
            let output = self.out("output");
            let (forger, script) = (self.forger.clone(), script.to_owned());
            let (image, to) = (edits.image.clone(), output.clone());
            let run = move || {
                // The copy is made before the clock starts.
                for copy in [
                    Run::new("cp").arg("--sparse=always").arg(&image).arg(&to),
                    Run::new("sync"),
                ] {
                    copy.limit(300).ok();
                }
                Run::new("bash")
                    .args(["-euc", line])
                    .env("F", &forger)
                    .env("S", &script)
                    .env("O", &to)
                    .limit(600)
            };
            Contestant {
                name,
                output,
                run: Box::new(run),
            }
        };
        let contestants = vec![
            // debugfs leaves in free blocks what it removes.
            of(
                "forger edit --no-erase --script",
                &edits.forger,
                "\"$F\" edit -q --no-erase --script \"$S\" \"$O\" >&2",
            ),
            of(
                "debugfs -w -f, sync -d",
                &edits.debugfs,
                "debugfs -w -f \"$S\" \"$O\" > /dev/null 2>&1; sync -d \"$O\"",
            ),
            of(
                "forger edit --script, which erases",
                &edits.forger,
                "\"$F\" edit -q --script \"$S\" \"$O\" >&2",
            ),
        ];
        for contestant in &contestants {
            run((contestant.run)())?;
            run(Run::new("e2fsck").arg("-fn").arg(&contestant.output))?;
        }
        report.race(self.race(title, Some(0.2), contestants))
    }

    fn write_edits(&self, image: &Path, name: &str) -> Result<Edits, Box<dyn std::error::Error>> {
        let sources = self.out("sources");
        fs::create_dir_all(&sources)?;
        for number in 0..SOURCES {
            let content = vec![b'x'; 300 + number * STEP];
            fs::write(sources.join(number.to_string()), content)?;
        }
        let mount = Mount::read_only(image);
        let files = list(mount.path(), "f")?;
        let folders = list(mount.path(), "d")?;
        drop(mount);
        let (mut forger, mut debugfs) = (String::new(), String::new());
        let sources = sources.display();
        let mut dice = Dice(1);
        let each = EACH.min(files.len() / 3);
        let mut edits: Vec<usize> = (0..4 * each).collect();
        dice.shuffle(&mut edits);
        let mut files = files;
        dice.shuffle(&mut files);
        for edit in edits {
            let file = |kind: usize| &files[edit % each + kind * each];
            match edit / each {
                0 => {
                    let folder = &folders[dice.roll(folders.len())];
                    let source = edit % SOURCES;
                    writeln!(forger, "put {sources}/{source} {folder}/forger-{edit}")?;
                    writeln!(
                        debugfs,
                        "cd {folder}\nwrite {sources}/{source} forger-{edit}"
                    )?;
                }
                1 => {
                    let file = file(0);
                    writeln!(forger, "chown 1000:100 {file}")?;
                    writeln!(debugfs, "sif {file} uid 1000\nsif {file} gid 100")?;
                }
                2 => {
                    let file = file(1);
                    writeln!(forger, "chmod 600 {file}")?;
                    writeln!(debugfs, "sif {file} mode 0100600")?;
                }
                _ => {
                    let file = file(2);
                    writeln!(forger, "rm {file}")?;
                    writeln!(debugfs, "rm {file}")?;
                }
            }
        }
        let edits = Edits {
            image: image.to_owned(),
            forger: self.out(&format!("{name}.forger")),
            debugfs: self.out(&format!("{name}.debugfs")),
        };
        fs::write(&edits.forger, forger)?;
        fs::write(&edits.debugfs, debugfs)?;
        Ok(edits)
    }
}

fn run(run: Run) -> Outcome {
    let output = run.limit(600).try_output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(output.to_string().into())
    }
}

/// Lists the paths of a type whose names no script has to quote.
fn list(mount: &Path, kind: &str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let find = Run::new("find").arg(mount).args(["-mindepth", "1"]);
    let find = find.args(["-type", kind, "-printf", "/%P\n"]);
    let text = find.limit(300).try_output()?.text();
    let plain = |name: &&str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@:,=~".contains(&byte))
    };
    let mut names: Vec<String> = text.lines().filter(plain).map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

/// Makes an archive of small files in many folders.
fn crowd(folders: usize) -> Vec<u8> {
    let mut archive = Archive::new();
    for folder in 0..folders {
        archive.push(&Member::dir(format!("top-{}/folder-{folder}", folder % 40)));
        for file in 0..FILES / folders {
            let name = format!("top-{}/folder-{folder}/file-{file}", folder % 40);
            archive.push(&Member::file(name, vec![b'x'; 200 + file % 10 * 37]));
        }
    }
    archive.finish()
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % sides.max(1)
    }

    fn shuffle<T>(&mut self, of: &mut [T]) {
        for at in (1..of.len()).rev() {
            of.swap(at, self.roll(at + 1));
        }
    }
}
