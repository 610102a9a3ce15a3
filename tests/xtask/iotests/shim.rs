//! What stands in for qemu-img: `create` and `convert` are translated for forger, everything else is
//! qemu-img's.
//!
//! What forger refuses is given to qemu-img, which must refuse it as well; its message is what the tests
//! expect. What forger does not have (encryption, data files, disks that are no files, conversions that
//! keep zeros) is left to qemu-img, and counted.

use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use forger_tests::tools;
use serde_json::Value;

use super::formatting::{Options, formatting, size};

/// Variables with the path of forger, and of the log.
pub(super) const FORGER: &str = "FORGER_IOTESTS_BIN";
pub(super) const LOG: &str = "FORGER_IOTESTS_LOG";

/// Writes the program that starts this one in qemu-img's place.
pub(super) fn install(path: &Path) -> Result<(), Box<dyn Error>> {
    let own = std::env::current_exe()?;
    fs::write(
        path,
        format!("#!/bin/sh\nexec '{}' qemu-img \"$@\"\n", own.display()),
    )?;
    Ok(fs::set_permissions(
        path,
        fs::Permissions::from_mode(0o755),
    )?)
}

/// Does what a command line of qemu-img asks for.
pub(crate) fn run(args: &[String]) -> ExitCode {
    let translated = match args.first().map(String::as_str) {
        Some("create") => Words::read(args).and_then(|words| words.create()),
        Some("convert") => Words::read(args).and_then(|words| words.convert()),
        _ => return qemu_img(args),
    };
    let Some(translated) = translated else {
        log("qemu-img", args);
        return qemu_img(args);
    };
    let forger = std::env::var_os(FORGER).unwrap_or_else(|| OsString::from("forger"));
    let existed = Path::new(&translated.out).exists();
    let output = Command::new(forger).args(&translated.args).output();
    if output.is_ok_and(|output| output.status.success()) {
        log("forger", args);
        print!("{}", translated.said);
        return ExitCode::SUCCESS;
    }
    log("refused", args);
    let code = qemu_img(args);
    if code == ExitCode::SUCCESS {
        println!("forger refused what qemu-img makes: {}", args.join(" "));
        if !existed {
            let _ = fs::remove_file(&translated.out);
        }
    }
    code
}

/// Prepares to run the program whose place is taken.
fn real() -> Command {
    Command::new(tools::find("qemu-img").unwrap_or_else(|| "qemu-img".into()))
}

fn qemu_img(args: &[String]) -> ExitCode {
    match real().args(args).status() {
        Ok(status) => ExitCode::from(
            status
                .code()
                .and_then(|c| u8::try_from(c).ok())
                .unwrap_or(1),
        ),
        Err(error) => {
            eprintln!("qemu-img: {error}");
            ExitCode::FAILURE
        }
    }
}

fn log(who: &str, args: &[String]) {
    let Some(path) = std::env::var_os(LOG) else {
        return;
    };
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
        let _ = file.write_all(format!("{who} {}\n", args.join(" ")).as_bytes());
    }
}

/// A command line of forger, and what qemu-img would print.
struct Translated {
    args: Vec<OsString>,
    said: String,
    out: String,
}

/// A command line of qemu-img.
#[derive(Default)]
struct Words {
    format: Option<String>,
    output: Option<String>,
    backing: Option<String>,
    backing_format: Option<String>,
    options: Options,
    compress: bool,
    quiet: bool,
    names: Vec<String>,
}

impl Words {
    /// Reads a command line; `None` for what forger does not have.
    fn read(args: &[String]) -> Option<Self> {
        let mut words = Self::default();
        let mut rest = args.iter().skip(1);
        let mut options = true;
        while let Some(word) = rest.next() {
            let mut value = || rest.next().cloned();
            match word.as_str() {
                "--" if options => options = false,
                "-f" if options => words.format = Some(value()?),
                "-O" if options => words.output = Some(value()?),
                "-b" | "-B" if options => words.backing = Some(value()?),
                "-F" if options => words.backing_format = Some(value()?),
                "-o" if options => words.options.read(&value()?)?,
                "-c" if options => words.compress = true,
                "-q" if options => words.quiet = true,
                "-p" if options => {}
                other if options && other.starts_with('-') => return None,
                other => words.names.push(other.to_owned()),
            }
        }
        Some(words)
    }

    /// Returns the backing file's name and format.
    fn backing(&self) -> (Option<&String>, Option<&String>) {
        let name = self.backing.as_ref().or(self.options.backing.as_ref());
        let format = self
            .backing_format
            .as_ref()
            .or(self.options.backing_format.as_ref());
        (name, format)
    }

    fn create(self) -> Option<Translated> {
        let format = self.format.clone().unwrap_or_else(|| "raw".to_owned());
        let (out, typed) = match self.names.as_slice() {
            [out] => (out.clone(), None),
            [out, size] => (out.clone(), Some(size)),
            _ => return None,
        };
        // Its own refusal of a size that is given twice, and of names that are no files.
        if typed.is_some() && self.options.size.is_some() || out.contains(":{") {
            return None;
        }
        let bytes = match typed.or(self.options.size.as_ref()) {
            Some(text) => Some(size(text)?),
            None => None,
        };
        let mut args = vec!["create", "-q", "--force", "--no-sync", "--format"];
        args.push(kind(&format)?);
        let mut args: Vec<OsString> = args.into_iter().map(OsString::from).collect();
        let (backing, backing_format) = self.backing();
        args.extend(self.options.for_forger());
        args.extend(of_backing(backing, backing_format));
        args.extend(self.options.preallocation.iter().map(|mode| {
            let mode = if mode == "falloc" { "full" } else { mode };
            format!("--preallocation={mode}").into()
        }));
        args.push("--".into());
        args.push(out.clone().into());
        args.extend(bytes.map(|bytes| bytes.to_string().into()));
        let bytes = match (bytes, backing) {
            (Some(bytes), _) => bytes,
            (None, Some(backing)) => virtual_size(&beside(&out, backing))?,
            (None, None) => return None,
        };
        let said = match self.quiet {
            true => String::new(),
            false => formatting(&out, &format, bytes, &self.options, backing, backing_format),
        };
        Some(Translated { args, said, out })
    }

    fn convert(self) -> Option<Translated> {
        let [input, out] = self.names.as_slice() else {
            return None;
        };
        let plain = |name: &str| !name.contains(":{") && !name.contains("://");
        if !plain(input) || !plain(out) || self.options.preallocation.is_some() {
            return None;
        }
        let output = self.output.as_deref().unwrap_or("raw");
        let mut args = vec!["convert", "-q", "--force", "--no-sync", "--format"];
        args.push(kind(output)?);
        let mut args: Vec<OsString> = args.into_iter().map(OsString::from).collect();
        if let Some(format) = &self.format {
            args.push("--input-format".into());
            args.push(kind(format)?.into());
        }
        let (backing, backing_format) = self.backing();
        let mut options = self.options.clone();
        let codec = options.compression_type.take();
        if self.compress {
            let codec = codec.unwrap_or_else(|| "zlib".to_owned());
            args.push(format!("--compress={codec}").into());
        } else if codec.is_some_and(|codec| codec != "zlib") {
            return None;
        }
        args.extend(options.for_forger());
        args.extend(of_backing(backing, backing_format));
        for name in chain(input).into_iter().skip(1) {
            args.push(format!("--allow-backing={name}").into());
        }
        if let Some(backing) = backing {
            for name in chain(&beside(out, backing)).into_iter().skip(1) {
                args.push(format!("--allow-backing={name}").into());
            }
        }
        args.push("--".into());
        args.push(input.into());
        args.push(out.into());
        Some(Translated {
            args,
            said: String::new(),
            out: out.clone(),
        })
    }
}

/// Returns forger's name of a format that both have.
fn kind(format: &str) -> Option<&'static str> {
    match format {
        "raw" => Some("raw"),
        "qcow2" => Some("qcow2"),
        "vmdk" => Some("vmdk"),
        "vhdx" => Some("vhdx"),
        _ => None,
    }
}

fn of_backing(name: Option<&String>, format: Option<&String>) -> Vec<OsString> {
    let name = name.map(|name| format!("--backing={name}").into());
    let format = format.map(|format| format!("--backing-format={format}").into());
    name.into_iter().chain(format).collect()
}

/// Returns a name as it is looked up beside an image.
fn beside(image: &str, name: &str) -> String {
    let folder = Path::new(image).parent().unwrap_or(Path::new(""));
    folder.join(name).to_string_lossy().into_owned()
}

/// Returns what qemu-img says of an image and those it builds on.
fn info(image: &str) -> Option<Value> {
    let args = ["info", "-U", "--backing-chain", "--output=json"];
    let output = real().args(args).arg(image).output().ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

/// Returns the names of an image and those it builds on.
fn chain(image: &str) -> Vec<String> {
    let facts = info(image).unwrap_or_default();
    let names = facts.as_array().into_iter().flatten();
    names
        .filter_map(|facts| Some(facts["filename"].as_str()?.to_owned()))
        .collect()
}

fn virtual_size(image: &str) -> Option<u64> {
    info(image)?[0]["virtual-size"].as_u64()
}
