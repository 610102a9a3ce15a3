//! What the bench works on: a large and a small Debian, made once; crowds of files.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use forger_tests::archive::{Archive, BLOCK, Member};
use forger_tests::process::Run;
use forger_tests::rootfs;

use crate::Outcome;

/// The packages of the large input.
const PACKAGES: &str = "--include=linux-image-cloud-amd64,systemd-sysv,openssh-server,\
                        build-essential,python3-pip,git,nodejs,npm,golang-go";

/// How many files the crowds have, and in how many folders the scattered one.
const FILES: usize = 200_000;
const FOLDERS: usize = 2000;

/// The archive that is raced with, and where it is extracted for those who need a folder.
pub(super) struct Inputs {
    pub(super) tar: PathBuf,
    pub(super) folder: PathBuf,
}

impl Inputs {
    /// Finds or makes the archive, and reads it once so that it is in the cache.
    pub(super) fn make(dir: &Path, small: bool) -> Result<Self, Box<dyn std::error::Error>> {
        fs::create_dir_all(dir)?;
        let tar = match std::env::var_os("FORGER_BENCH_TAR") {
            Some(tar) => tar.into(),
            None if small => {
                rootfs::made("minbase-bookworm.tar", &["--variant=minbase", "bookworm"])?
            }
            None => {
                let args = ["--variant=important", PACKAGES, "bookworm"];
                rootfs::made("large-bookworm.tar", &args)?
            }
        };
        Run::new("cat")
            .arg(&tar)
            .limit(300)
            .stdout_to_nowhere()
            .try_output()?;
        Ok(Self {
            tar,
            folder: dir.join("folder"),
        })
    }

    /// Extracts the archive for the peers that want a folder.
    pub(super) fn extract(&self) -> Outcome {
        let _ = fs::remove_dir_all(&self.folder);
        fs::create_dir_all(&self.folder)?;
        let run = Run::new("tar").args(["--extract", "--numeric-owner", "-p", "--xattrs"]);
        let run = run.arg("--xattrs-include=*").arg("--file").arg(&self.tar);
        let output = run
            .arg("--directory")
            .arg(&self.folder)
            .limit(600)
            .try_output()?;
        if output.status.success() {
            Ok(())
        } else {
            Err(output.to_string().into())
        }
    }

    /// Makes two archives of many files of 100 bytes: in one folder, and scattered.
    pub(super) fn crowds(&self, dir: &Path) -> std::io::Result<(PathBuf, PathBuf)> {
        let (one, many) = (dir.join("one-folder.tar"), dir.join("many-folders.tar"));
        write_crowd(&one, 1)?;
        write_crowd(&many, FOLDERS)?;
        Ok((one, many))
    }
}

fn write_crowd(path: &Path, folders: usize) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    for folder in 0..folders {
        let mut archive = Archive::new();
        archive.push(&Member::dir(format!("crowd/{folder}")));
        for i in (folder..FILES).step_by(folders) {
            let name = format!("crowd/{folder}/file-number-{i:06}");
            archive.push(&Member::file(name, [b'x'; 100]));
        }
        out.write_all(&archive.open())?;
    }
    out.write_all(&[0; 2 * BLOCK])?;
    out.flush()
}

/// Writes the header of a file of `size` bytes, whose content comes from elsewhere.
pub(super) fn head_of_zeros(path: &Path, size: u64) -> std::io::Result<()> {
    let mut archive = Archive::new();
    archive.push(&Member::file("zeros", "").stated_size(size));
    fs::write(path, archive.open())
}

/// Installs the example program of the crate mkext4, which makes an image of a folder.
pub(super) fn mkext4(dir: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let program = dir.join("mkext4/bin/mkfs");
    if !program.is_file() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let run = Run::new(cargo).args(["install", "--quiet", "--example", "mkfs", "--root"]);
        let run = run.arg(dir.join("mkext4")).arg("mkext4@=0.0.3");
        let output = run.limit(900).try_output()?;
        if !output.status.success() {
            return Err(output.to_string().into());
        }
    }
    Ok(program)
}
