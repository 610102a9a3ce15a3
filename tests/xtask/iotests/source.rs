//! The tests, out of the source package of the qemu-img that is installed.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use forger_tests::process::Run;

use super::kept;
use crate::step;

/// Returns the folder of the tests; it is fetched when it is not there.
pub(super) fn fetch() -> Result<PathBuf, Box<dyn Error>> {
    let version = version()?;
    let name: String = version
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect();
    let folder = kept().join(name);
    let tests = folder.join("tests/qemu-iotests");
    if tests.join("check").is_file() {
        return Ok(tests);
    }
    fs::create_dir_all(&folder)?;
    let config = configure(&folder.join("apt"))?;
    let apt = |args: &[&str]| {
        let run = Run::new("apt-get").env("APT_CONFIG", &config);
        run.args(args).limit(600)
    };
    step::run("apt-get update, sources", apt(&["update", "--quiet=2"]))?;
    let package = format!("qemu={version}");
    let download = apt(&["source", "--download-only", "--quiet=2", &package]);
    let output = download.dir(&folder).try_output()?;
    if !output.status.success() {
        return Err(output.to_string().into());
    }
    let archive = fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().ends_with(".orig.tar.xz"))
        .ok_or("the source package has no original archive")?;
    let unpack = Run::new("tar").args(["--strip-components=1", "--wildcards", "-xf"]);
    let unpack = unpack
        .arg(&archive)
        .args(["*/tests/qemu-iotests", "*/python/qemu"])
        .dir(&folder)
        .limit(300)
        .try_output()?;
    if !unpack.status.success() {
        return Err(unpack.to_string().into());
    }
    fs::remove_file(archive)?;
    Ok(tests)
}

/// Returns the version of the source package that qemu-img was built from.
fn version() -> Result<String, Box<dyn Error>> {
    let query = ["--show", "--showformat=${source:Version}", "qemu-utils"];
    let output = Run::new("dpkg-query").args(query).try_output()?;
    match output.status.success() {
        true => Ok(output.text()),
        false => Err("qemu-img is of no Debian package, and its tests are not known".into()),
    }
}

/// Gives apt a state of its own, with the system's archives as archives of sources.
fn configure(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    for part in ["lists/partial", "cache/archives/partial", "sources"] {
        fs::create_dir_all(folder.join(part))?;
    }
    let mut lists = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        lists.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    for list in lists {
        let (Ok(text), Some(name)) = (fs::read_to_string(&list), list.file_name()) else {
            continue;
        };
        let lines = text.lines().map(|line| match line.strip_prefix("deb ") {
            Some(rest) => format!("deb-src {rest}\n"),
            None if line.starts_with("Types:") => "Types: deb-src\n".to_owned(),
            None => format!("{line}\n"),
        });
        fs::write(folder.join("sources").join(name), lines.collect::<String>())?;
    }
    let config = folder.join("config");
    let folder = folder.display();
    fs::write(
        &config,
        format!(
            "Dir::Etc::sourcelist \"/dev/null\";\nDir::Etc::sourceparts \"{folder}/sources\";\n\
             Dir::State::lists \"{folder}/lists\";\nDir::Cache \"{folder}/cache\";\n\
             APT::Sandbox::User \"\";\n"
        ),
    )?;
    Ok(config)
}
