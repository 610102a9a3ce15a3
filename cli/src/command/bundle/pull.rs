//! `forger bundle pull NAME`

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use forger::bundle::{self, Manifest};
use forger::catalog::Entry;
use forger::store::{self, Held, Store};
use forger_block::{PendingFile, check_target};
use forger_fs::observe::Observer;
use forger_oci::Digest;

use super::{DigestArgs, hex};
use crate::args::catalog::CatalogArgs;
use crate::args::network::NetworkArgs;
use crate::args::run::WriteArgs;
use crate::args::{Format, Global};
use crate::config;
use crate::exit::Failure;
use crate::network::Network;
use crate::network::locate::{Query, Wanted};
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Fetches a bundle of a catalog, or from an URL, and verifies it before it appears
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The bundle is kept in the local store under its SHA-256, and comes from there the next time; --out
copies it out. Nothing appears that is not a whole bundle, with the SHA-256 of the catalog or of
--sha256. Three lines go to standard output: the path, the SHA-256, the size in bytes.

Examples:
  forger bundle pull debian --catalog https://example.org/catalog.json
  forger bundle pull debian --arch aarch64 --out .
  forger bundle pull https://example.org/app.tar.zst --sha256 107d97...
  forger bundle pull oci://ghcr.io/org/app-bundle:1 --out app.tar.zst

Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal.")]
pub(super) struct Args {
    /// The name of a bundle in the catalog, or an http:, https: or oci: URL
    #[arg(value_name = "NAME|URL")]
    name: String,

    #[command(flatten)]
    catalog: CatalogArgs,

    /// The architecture, where the catalog has several [default: the only one]
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,

    /// Copies the bundle out of the store: to a file, or into a folder as NAME-ARCH-DIGITS.tar.zst
    /// [default: it stays there]
    #[arg(short, long, value_name = "FILE|DIR")]
    out: Option<OsString>,

    #[command(flatten)]
    digest: DigestArgs,

    #[command(flatten)]
    network: NetworkArgs,

    #[command(flatten)]
    write: WriteArgs,
}

/// What came.
pub(crate) struct Pulled {
    /// Where it is, as long as this lives.
    pub(crate) held: Held,
    sha256: [u8; 32],
    size: u64,
    /// The name for a folder.
    file_name: String,
    fetched: bool,
}

/// Fetches the bundle and prints where it is.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let pulled = pull(args, &mut console);
    let (path, pulled) = console.conclude(pulled)?;
    let (sha256, size) = (hex(&pulled.sha256), pulled.size);
    let report = match global.output {
        Format::Text => format!("{}\n{sha256}\n{size}\n", path.display()),
        Format::Json => print::json_line(&serde_json::json!({
            "path": path.to_string_lossy(),
            "sha256": sha256,
            "size": size,
            "fetched": pulled.fetched,
        })),
    };
    print::result(Stream::Stdout, &report)
}

fn pull(args: &Args, console: &mut Console) -> Result<(PathBuf, Pulled), Failure> {
    let store = crate::command::store::open()?;
    let query = Query {
        kind: "bundle",
        name: &args.name,
        catalog: args.catalog.catalog.as_deref(),
        arch: args.arch.as_deref(),
        sha256: args.digest.sha256,
    };
    let (network, wanted) = query.locate(&args.network, console)?;
    let pulled = into_store(&store, &network, &wanted, !args.write.no_sync, console)?;
    let path = match &args.out {
        None => pulled.held.path().to_owned(),
        Some(out) => {
            console.finishing();
            copy_out(
                pulled.held.path(),
                out,
                &pulled.file_name,
                args.write,
                console,
            )?
        }
    };
    Ok((path, pulled))
}

/// Takes a bundle from the store, or fetches it into it.
///
/// # Errors
/// Why it cannot be fetched, or what is wrong with it.
pub(crate) fn into_store(
    store: &Store,
    network: &Network,
    wanted: &Wanted,
    sync: bool,
    console: &mut Console,
) -> Result<Pulled, Failure> {
    match kept(store, wanted)? {
        Some(pulled) => Ok(pulled),
        None => fetch(network, store, wanted, sync, console),
    }
}

/// Looks into the store.
fn kept(store: &Store, wanted: &Wanted) -> Result<Option<Pulled>, Failure> {
    let Some(sha256) = wanted.sha256 else {
        return Ok(None);
    };
    let digest = digest(&sha256);
    let held = store.get(&digest, now()).map_err(remedy::store)?;
    let Some(held) = held else {
        return Ok(None);
    };
    let all = store.list().map_err(remedy::store)?;
    let kept = all.into_iter().find(|kept| kept.digest == digest);
    Ok(kept.map(|kept| Pulled {
        held,
        sha256,
        size: kept.size,
        file_name: file_name(
            kept.facts.name.as_deref().unwrap_or("bundle"),
            kept.facts.arch.as_deref(),
            &sha256,
        ),
        fetched: false,
    }))
}

/// Fetches the bundle into the store: it is kept if it is one, and the right one.
fn fetch(
    network: &Network,
    store: &Store,
    wanted: &Wanted,
    sync: bool,
    console: &mut Console,
) -> Result<Pulled, Failure> {
    let what = || format!("cannot fetch {}", wanted.location);
    console.start_phase("fetch");
    let fetched = network.fetch(&wanted.location)?;
    if let Some(size) = fetched.size {
        console.meter().expect(size);
    }
    let pending = store.begin().map_err(remedy::store)?;
    let mut tee = Tee {
        inner: fetched.reader,
        pending: &pending,
        at: 0,
        meter: console.meter().clone(),
    };
    let facts = bundle::verify(&mut tee, wanted.sha256, console)
        .map_err(|error| remedy::open(what(), error))?;
    let Manifest { name, arch, .. } = &facts.manifest;
    let about = store::Facts {
        name: Some(name.clone()),
        arch: Some(arch.clone()),
        kind: Some("bundle".to_owned()),
        source: Some(wanted.location.to_string()),
    };
    console.finishing();
    let held = store
        .keep(pending, &digest(&facts.sha256), &about, sync)
        .map_err(remedy::store)?;
    Ok(Pulled {
        held,
        sha256: facts.sha256,
        size: facts.size,
        file_name: file_name(name, Some(arch), &facts.sha256),
        fetched: true,
    })
}

/// The name of a bundle's file. The manifest is somebody else's text: what is no name in it is left out.
fn file_name(name: &str, arch: Option<&str>, sha256: &[u8; 32]) -> String {
    let named = |text: &str| forger::catalog::is_name(text).then(|| text.to_owned());
    let entry = Entry {
        name: named(name).unwrap_or_else(|| "bundle".to_owned()),
        arch: arch.and_then(named),
        tarball_sha256: hex(sha256),
        ..Entry::default()
    };
    entry.file_name()
}

fn copy_out(
    from: &Path,
    out: &OsString,
    name: &str,
    write: WriteArgs,
    console: &mut Console,
) -> Result<PathBuf, Failure> {
    let out = Path::new(out);
    let path = match out.is_dir() {
        true => out.join(name),
        false => out.to_owned(),
    };
    let publish = crate::output::publish(write);
    let mut copy = || -> forger_block::Result<()> {
        check_target(&path, write.force)?;
        let failed = |error| forger_block::Error::io("read", from.display().to_string(), error);
        let mut source = std::fs::File::open(from).map_err(failed)?;
        let pending = PendingFile::for_target(&path)?;
        let (mut at, mut buffer) = (0, vec![0; 1 << 20]);
        loop {
            let count = source.read(&mut buffer).map_err(failed)?;
            let piece = buffer.get(..count).unwrap_or_default();
            if piece.is_empty() {
                return pending.publish(publish);
            }
            if Observer::cancelled(console) {
                return Err(failed(io::Error::other("stopped on request")));
            }
            pending.write_at(at, piece)?;
            at = at.saturating_add(u64::try_from(count).unwrap_or(0));
        }
    };
    copy().map_err(|error| remedy::block(format!("cannot write {}", path.display()), error))?;
    Ok(path)
}

fn digest(sha256: &[u8; 32]) -> Digest {
    let text = format!("sha256:{}", hex(sha256));
    text.parse().expect("64 hexadecimal digits are a digest")
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(config::seconds())
}

/// Keeps what is read.
struct Tee<'a> {
    inner: Box<dyn Read + Send>,
    pending: &'a PendingFile,
    at: u64,
    meter: std::sync::Arc<crate::progress::Meter>,
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let piece = buffer.get(..count).unwrap_or_default();
        self.pending
            .write_at(self.at, piece)
            .map_err(io::Error::other)?;
        let read = u64::try_from(count).unwrap_or(0);
        self.at = self.at.saturating_add(read);
        self.meter.add(read);
        Ok(count)
    }
}
