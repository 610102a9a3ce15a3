//! `forger catalog add CATALOG BUNDLE`

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use forger::bundle::{self, Facts};
use forger::catalog::{Catalog, Entry};
use forger_block::{PendingFile, Publish};

use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::guest::kernel;
use crate::input::stream;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Adds a bundle or kernel to a catalog, or replaces the one of its name and architecture
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The bundle is verified first; name, architecture, distribution, kernel and description come from its
manifest. A kernel is a bundle that forger kernel bundle made. A catalog that is not there is made. It changes as a whole, and several commands may add
to it at once.

Examples:
  forger catalog add catalog.json debian-x86_64-8812e888670c.tar.zst
  forger catalog add catalog.json cloud.kernel.tar.zst
  forger catalog add catalog.json app.tar.zst --url https://example.org/app.tar.zst

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    /// The catalog, a file
    #[arg(value_name = "CATALOG")]
    catalog: PathBuf,

    /// The bundle, a file
    #[arg(value_name = "BUNDLE")]
    bundle: OsString,

    /// Where the bundle will be found: an URL, absolute or relative to the catalog [default: its
    /// content-addressed name, beside the catalog; of a kernel, its file's name]
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Does not wait until the catalog is on the disk
    #[arg(long)]
    no_sync: bool,
}

/// Adds the bundle and prints its entry.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let added = add(args, &mut console);
    let (entry, replaced) = console.conclude(added)?;
    let report = match global.output {
        Format::Text => format!(
            "{} {} ({})\n",
            if replaced { "replaced" } else { "added" },
            entry.name,
            entry.tarball_url
        ),
        Format::Json => print::json_line(&serde_json::to_value(&entry).unwrap_or_default()),
    };
    print::result(Stream::Stdout, &report)
}

fn add(args: &Args, console: &mut Console) -> Result<(Entry, bool), Failure> {
    let entry = match kernel::is_bundle(Path::new(&args.bundle)) {
        true => kernel::entry(Path::new(&args.bundle), args.url.as_deref())?,
        false => {
            let reader = stream::open(&args.bundle, "bundle", console)?;
            let shown = stream::shown(&args.bundle);
            let facts = bundle::verify(reader, None, console)
                .map_err(|error| remedy::open(format!("cannot add {shown}"), error))?;
            entry(&facts, args.url.as_deref())
        }
    };
    let place = args.catalog.display().to_string();
    let what = || format!("cannot change the catalog {place}");
    let failed = |error: io::Error| Failure::failed(what()).because(error);
    let folder = match args.catalog.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Held to the end: whoever comes second reads what the first one wrote.
    let lock = File::open(folder).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let bytes = match std::fs::read(&args.catalog) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(failed(error)),
    };
    let refused = |error| Failure::failed(what()).because(error);
    let mut catalog = Catalog::parse(&place, &bytes).map_err(refused)?;
    let replaced = catalog.put(entry.clone()).is_some();
    let bytes = catalog.to_bytes();
    Catalog::parse(&place, &bytes).map_err(refused)?;
    let publish = Publish {
        force: true,
        sync: !args.no_sync,
    };
    let write = || {
        let pending = PendingFile::for_target(&args.catalog)?;
        pending.write_at(0, &bytes)?;
        pending.publish(publish)
    };
    write().map_err(|error| remedy::block(what(), error))?;
    Ok((entry, replaced))
}

fn entry(facts: &Facts, url: Option<&str>) -> Entry {
    let manifest = &facts.manifest;
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut entry = Entry {
        name: manifest.name.clone(),
        distro: some(&manifest.distro),
        arch: some(&manifest.arch),
        kernel_ref: manifest.kernel_ref.clone(),
        tarball_sha256: facts
            .sha256
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        size_bytes: Some(facts.size),
        description: manifest.description.clone(),
        ..Entry::default()
    };
    entry.tarball_url = url.map_or_else(|| entry.file_name(), str::to_owned);
    entry
}
