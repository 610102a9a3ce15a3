//! `forger kernel info NAME|FILE`

use std::ffi::OsString;
use std::path::Path;

use forger_vm::kernel::Kernel;
use serde_json::json;

use crate::args::size::human;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::guest::kernel::{Facts, Kernels, Stored};
use crate::print::{self, Stream};

/// Says what a kernel is: one that is kept, or a file
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  forger kernel info 6.1.0-18-cloud-amd64
  forger kernel info /boot/vmlinuz-6.1.0-18-amd64 --output json

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    /// The kernel: a name that forger kernel ls lists, or a file
    #[arg(value_name = "NAME|FILE")]
    kernel: OsString,
}

/// Prints what it is.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let path = Path::new(&args.kernel);
    let name = args.kernel.to_str().unwrap_or_default();
    let stored = match path.exists() {
        true => None,
        false => Some(Kernels::open()?.named(name)?),
    };
    let report = match (&stored, global.output) {
        (Some(stored), Format::Json) => {
            print::json_line(&super::object(stored, super::is_default(stored)?))
        }
        (Some(stored), Format::Text) => text(stored, super::is_default(stored)?),
        (None, format) => file(path, format)?,
    };
    print::result(Stream::Stdout, &report)
}

fn text(stored: &Stored, default: bool) -> String {
    let Facts {
        name,
        release,
        format,
        architecture,
        modules,
        source,
        package,
        version,
        ..
    } = &stored.facts;
    let package = package.as_ref().map(|package| {
        let version = version.as_deref().unwrap_or_default();
        format!("{package} {version}")
    });
    let rows = [
        ("name", Some(name.clone())),
        ("release", release.clone()),
        ("format", Some(format.clone())),
        ("arch", Some(architecture.clone())),
        ("modules", Some(modules.to_string())),
        ("default", default.then(|| "yes".to_owned())),
        ("source", source.clone()),
        ("package", package),
        ("path", Some(stored.path().display().to_string())),
    ];
    rows.into_iter()
        .filter_map(|(row, value)| Some(format!("{row:<9}{}\n", plain(&value?))))
        .collect()
}

/// What came from elsewhere is somebody else's text: what could move a terminal's cursor is left out.
fn plain(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

fn file(path: &Path, format: Format) -> Result<String, Failure> {
    let shown = path.display();
    let failed = || Failure::failed(format!("cannot read the kernel {shown}"));
    let kernel = Kernel::open(path).map_err(|error| failed().because(error))?;
    let size = std::fs::metadata(path).map_err(|error| failed().because(error))?;
    let (size, image) = (size.len(), &kernel.image);
    let release = image.release.as_deref();
    Ok(match format {
        Format::Json => print::json_line(&json!({
            "path": path.to_string_lossy(),
            "release": release,
            "format": image.format.to_string(),
            "arch": image.architecture.to_string(),
            "size": size,
        })),
        Format::Text => format!(
            "path     {shown}\nrelease  {}\nformat   {}\narch     {}\nsize     {size} bytes ({})\n",
            release.unwrap_or("not said"),
            image.format,
            image.architecture,
            human(size)
        ),
    })
}
