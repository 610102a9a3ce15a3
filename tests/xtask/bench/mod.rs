//! `cargo xtask bench`: forger against its peers, in one run, taken in turn, durable on both sides.
//!
//! A peer that does not flush its output is followed by `sync -d FILE` inside the timed span. All
//! contestants of a round run one after the other, then the next round begins; medians count.

mod convert;
mod disk;
mod edits;
mod guest;
mod inputs;
mod inspect;
mod kvm;
mod measure;
mod oci;
mod registry;
mod report;

use std::path::{Path, PathBuf};

use forger_tests::process::Run;
use forger_tests::{tools, workspace};

use crate::Outcome;
use crate::step::{self, cargo};
use inputs::Inputs;
use measure::{Contestant, Race};
use report::Report;

/// How many rounds of each race are run unless the user says.
const ROUNDS: usize = 5;

/// The chore that measures in the outer machine, and what it does.
pub(crate) const INSIDE: &str = "bench-kvm-inside";
pub(crate) use kvm::inside::run as inside;

/// Where everything of a bench stands.
struct Bench {
    forger: PathBuf,
    inputs: Inputs,
    /// Outputs and scratch files.
    dir: PathBuf,
    rounds: usize,
}

/// Runs the bench: `args` are the number of rounds, `small`, and `inspect`, `convert`, `disk`, `edits`, `oci`,
/// `registry`, `guest` or `kvm` for that part alone, if given.
pub(crate) fn run(args: &[String]) -> Outcome {
    let small = args.iter().any(|arg| arg == "small");
    let rounds = args
        .iter()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(ROUNDS);
    if !tools::is_root() {
        return Err("the bench extracts owners and devices: it runs as root".into());
    }
    step::run(
        "build",
        cargo(&["build", "--release", "--package", "forger", "--locked"]),
    )?;
    let dir = workspace().join("target/bench");
    let bench = Bench {
        forger: workspace().join("target/release/forger"),
        inputs: Inputs::make(&dir, small)?,
        dir,
        rounds,
    };
    let mut report = Report::new(&bench.inputs);
    if args.iter().any(|arg| arg == "inspect") {
        bench.inspect(&mut report)?;
        report.print();
        return Ok(());
    }
    if args.iter().any(|arg| arg == "convert") {
        bench.convert(&mut report)?;
        report.print();
        return Ok(());
    }
    if args.iter().any(|arg| arg == "disk") {
        bench.disks(&mut report)?;
        report.print();
        return Ok(());
    }
    if args.iter().any(|arg| arg == "edits") {
        bench.edits(&mut report)?;
        report.print();
        return Ok(());
    }
    if args.iter().any(|arg| arg == "registry") {
        bench.registry(&mut report)?;
        report.print();
        return Ok(());
    }
    if args.iter().any(|arg| arg == "oci") {
        bench.oci(&mut report)?;
        report.print();
        return Ok(());
    }
    if args.iter().any(|arg| arg == "guest") {
        bench.guests(&mut report)?;
        report.print();
        return Ok(());
    }
    if args.iter().any(|arg| arg == "kvm") {
        bench.kvm(&mut report)?;
        report.print();
        return Ok(());
    }
    bench.images(&mut report)?;
    bench.bundles(&mut report)?;
    bench.folders(&mut report)?;
    bench.sizes(&mut report)?;
    bench.inspect(&mut report)?;
    bench.convert(&mut report)?;
    bench.disks(&mut report)?;
    bench.edits(&mut report)?;
    bench.registry(&mut report)?;
    bench.oci(&mut report)?;
    bench.guests(&mut report)?;
    bench.kvm(&mut report)?;
    bench.memory(&mut report)?;
    bench.peers(&mut report)?;
    report.print();
    Ok(())
}

impl Bench {
    fn out(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes a contestant of a shell script, in which `$F` is forger, `$T` the tar, `$D` the folder
    /// extracted from it, `$I` the finished image and `$O` the output; it runs in the bench's folder.
    fn script(&self, name: &'static str, script: &'static str) -> Contestant {
        let output = self.out("output");
        let run = {
            let (forger, output) = (self.forger.clone(), output.clone());
            let (tar, folder) = (self.inputs.tar.clone(), self.inputs.folder.clone());
            let (image, dir) = (self.out("image.ext4"), self.dir.clone());
            move || {
                Run::new("bash")
                    .args(["-euc", script])
                    .env("F", &forger)
                    .env("T", &tar)
                    .env("D", &folder)
                    .env("I", &image)
                    .env("O", &output)
                    .dir(&dir)
                    .limit(1800)
            }
        };
        Contestant {
            name,
            output,
            run: Box::new(run),
        }
    }

    fn race(&self, title: &'static str, goal: Option<f64>, of: Vec<Contestant>) -> Race {
        Race {
            title,
            goal,
            rounds: self.rounds,
            contestants: of,
        }
    }

    /// Tar to image, from a file and through a pipe, against copying the bytes.
    fn images(&self, report: &mut Report) -> Outcome {
        let file = vec![
            self.script("forger mkfs FILE", "\"$F\" mkfs -q \"$T\" \"$O\" >&2"),
            self.script(
                "cp, sync -d",
                "cp --reflink=never \"$T\" \"$O\"; sync -d \"$O\"",
            ),
        ];
        report.race(self.race("tar file -> ext4", Some(1.3), file))?;
        let pipe = vec![
            self.script(
                "cat | forger mkfs -",
                "cat \"$T\" | \"$F\" mkfs -q - \"$O\" >&2",
            ),
            self.script(
                "cat | cat, sync -d",
                "cat \"$T\" | cat > \"$O\"; sync -d \"$O\"",
            ),
        ];
        report.race(self.race("tar pipe -> ext4", Some(1.3), pipe))
    }

    /// Tar to bundle, against compressing and hashing the finished image.
    fn bundles(&self, report: &mut Report) -> Outcome {
        self.forger_ok(
            &["mkfs", "-q", "--force"],
            &[&self.inputs.tar, &self.out("image.ext4")],
        )?;
        let contestants = vec![
            self.script(
                "cat | forger make-bundle",
                "cat \"$T\" | \"$F\" make-bundle -q --name n --arch x86_64 --out \"$O\" >&2",
            ),
            self.script(
                "zstd -3 -T<cores>, sync -d, sha256sum",
                "zstd -q -3 -T\"$(nproc)\" \"$I\" -o \"$O\"; sync -d \"$O\"; sha256sum \"$O\" >&2",
            ),
        ];
        report.race(self.race("tar pipe -> bundle, level 3", Some(1.15), contestants))
    }

    /// One folder of many files, against the same files in many folders.
    fn folders(&self, report: &mut Report) -> Outcome {
        let (one, many) = self.inputs.crowds(&self.dir)?;
        let contestant = |name, tar: PathBuf| {
            let (forger, output) = (self.forger.clone(), self.out("output"));
            let to = output.clone();
            let run = move || Run::new(&forger).args(["mkfs", "-q"]).arg(&tar).arg(&to);
            Contestant {
                name,
                output,
                run: Box::new(run),
            }
        };
        let contestants = vec![
            contestant("forger mkfs, 1 folder", one),
            contestant("forger mkfs, 2,000 folders", many),
        ];
        report.race(self.race("200,000 files", Some(1.5), contestants))
    }

    /// A bundle of a large image, against one of the default size.
    fn sizes(&self, report: &mut Report) -> Outcome {
        let contestants = vec![
            self.script(
                "make-bundle --size 100G",
                "\"$F\" make-bundle -q --size 100G --name n --arch a --out \"$O\" \"$T\" >&2",
            ),
            self.script(
                "make-bundle",
                "\"$F\" make-bundle -q --name n --arch a --out \"$O\" \"$T\" >&2",
            ),
        ];
        report.race(self.race("--size 100G (at most 2 s more)", None, contestants))
    }

    /// Peak memory, as the kernel accounts it.
    fn memory(&self, report: &mut Report) -> Outcome {
        let scripts = [
            ("mkfs FILE", "exec \"$F\" mkfs -q --force \"$T\" \"$O\""),
            (
                "mkfs, from a pipe",
                "exec \"$F\" mkfs -q --force - \"$O\" < <(cat \"$T\")",
            ),
            (
                "make-bundle, from a pipe",
                "exec \"$F\" make-bundle -q --force --name n --arch a --out \"$O\" - < <(cat \"$T\")",
            ),
            (
                "mkfs of a file of 20 GiB of zeros, from a pipe",
                "exec \"$F\" mkfs -q --force - \"$O\" < <(cat zeros.head; head -c 20G /dev/zero; \
                 head -c 1024 /dev/zero)",
            ),
        ];
        inputs::head_of_zeros(&self.out("zeros.head"), 20 << 30)?;
        for (name, script) in scripts {
            let contestant = self.script(name, script);
            report.memory(
                name,
                measure::peak_memory((contestant.run)().dir(&self.dir))?,
            );
        }
        Ok(())
    }

    /// The tools that were used so far, and other crates.
    fn peers(&self, report: &mut Report) -> Outcome {
        self.inputs.extract()?;
        let mkext4 = inputs::mkext4(&self.dir)?;
        let (folder, output) = (self.inputs.folder.clone(), self.out("output"));
        let to = output.clone();
        // Room to spare, as for the others.
        let size = (self.out("image.ext4").metadata()?.len() / 2 * 3).to_string();
        let run = move || {
            Run::new("bash")
                .args(["-euc", "\"$0\" \"$1\" \"$2\" \"$3\" >&2; sync -d \"$2\""])
                .arg(&mkext4)
                .arg(&folder)
                .arg(&to)
                .arg(&size)
                .limit(1800)
        };
        let contestants = vec![
            self.script("forger mkfs FILE", "\"$F\" mkfs -q \"$T\" \"$O\" >&2"),
            Contestant { name: "mkext4 0.0.3 of the folder, sync -d", output, run: Box::new(run) },
            self.script(
                "mkfs.ext4 -d of the folder, sync -d",
                "truncate -s $(($(stat -c %s \"$I\") / 2 * 3)) \"$O\"; mkfs.ext4 -q -d \"$D\" \"$O\"; sync -d \"$O\"",
            ),
            self.script(
                "genext2fs of the folder, sync -d",
                "genext2fs -B 4096 -b $(($(stat -c %s \"$I\") / 8192 * 3)) -N 200000 -d \"$D\" \"$O\" >&2; \
                 sync -d \"$O\"",
            ),
        ];
        let race = Race {
            rounds: self.rounds.min(3),
            ..self.race("peers: image", None, contestants)
        };
        report.race(race)?;
        let chain = vec![
            self.script(
                "forger make-bundle FILE",
                "\"$F\" make-bundle -q --name n --arch x86_64 --out \"$O\" \"$T\" >&2",
            ),
            self.script(
                "extract, mkfs.ext4 -d, debugfs, tar | zstd, sha256sum",
                CHAIN,
            ),
        ];
        let race = Race {
            rounds: self.rounds.min(3),
            ..self.race("peers: bundle", None, chain)
        };
        report.race(race)
    }

    fn forger_ok(&self, args: &[&str], paths: &[&Path]) -> Outcome {
        let output = Run::new(&self.forger)
            .args(args)
            .args(paths)
            .limit(600)
            .try_output()?;
        if output.status.success() {
            Ok(())
        } else {
            Err(output.to_string().into())
        }
    }
}

/// What an ordinary user ran before: extract, make the filesystem, set the owners again, pack.
const CHAIN: &str = "\
    W=\"$O.chain\"; rm -rf \"$W\"; mkdir -p \"$W/tree\"; \
    tar -xf \"$T\" -C \"$W/tree\" --exclude './dev/*'; \
    truncate -s $(($(stat -c %s \"$I\") / 2 * 3)) \"$W/rootfs.ext4\"; \
    mkfs.ext4 -q -d \"$W/tree\" \"$W/rootfs.ext4\"; \
    (cd \"$W/tree\"; find . -printf 'sif \"%p\" uid %U\\nsif \"%p\" gid %G\\n') > \"$W/commands\"; \
    debugfs -w -f \"$W/commands\" \"$W/rootfs.ext4\" > /dev/null 2>&1; \
    echo '{}' > \"$W/manifest.json\"; \
    tar -C \"$W\" -cf - rootfs.ext4 manifest.json | zstd -q -3 -T\"$(nproc)\" -o \"$O\"; \
    sync -d \"$O\"; sha256sum \"$O\" >&2; rm -rf \"$W\"";
