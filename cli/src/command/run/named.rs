//! SOURCE as the name of a bundle in the catalog, and the kernel that the catalog names with it.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;

use forger::{bundle, catalog};
use forger_block::Forward;

use super::Args;
use crate::args::source::{Expect, Named};
use crate::command::bundle::pull;
use crate::config;
use crate::exit::Failure;
use crate::guest::kernel::{Adding, Keep, Kernels, fetch};
use crate::guest::root::Planned;
use crate::network::locate::Query;
use crate::output::scratch::Scratch;
use crate::progress::Console;
use crate::remedy;

/// What a name in the catalog stands for.
pub(super) struct Pulled {
    /// The root filesystem.
    pub(super) root: Planned,
    /// The kernel that is meant to run it, where it is kept now.
    pub(super) kernel: Option<OsString>,
}

/// Tells whether SOURCE names nothing here, and could name a bundle of the catalog.
pub(super) fn is_name<'a>(args: &Args, named: &'a Named) -> Option<&'a str> {
    let name = named.path.to_str().filter(|name| catalog::is_name(name))?;
    let absent = named.expect == Expect::Any && !Path::new(name).exists();
    let known = || match config::catalog() {
        Some(place) => place.to_string_lossy().contains("://") || Path::new(&place).exists(),
        None => false,
    };
    (absent && (args.catalog.catalog.is_some() || known())).then_some(name)
}

/// Fetches the bundle, unless the local store has it, and the kernel that is named with it.
///
/// # Errors
/// No such bundle; whatever is wrong with it.
pub(super) fn pull(args: &Args, name: &str, console: &mut Console) -> Result<Pulled, Failure> {
    if args.source.changes() {
        return Err(
            Failure::usage("a bundle of the catalog is taken as it is").help(format!(
                "forger bundle pull {name}, forger bundle extract, then lay things over the image"
            )),
        );
    }
    let query = Query {
        kind: "bundle",
        name,
        catalog: args.catalog.catalog.as_deref(),
        arch: None,
        sha256: None,
    };
    let (network, wanted) = query.locate(&args.source.network, console)?;
    let store = crate::command::store::open()?;
    let pulled = pull::into_store(&store, &network, &wanted, false, console)?;
    let root = unpack(pulled.held.path(), wanted.sha256, name, console)?;
    let kernel = wanted.entry.and_then(|entry| entry.kernel_ref);
    let kernel = match kernel.filter(|_| args.kernel.is_none()) {
        Some(kernel) => kept(args, &kernel, console),
        None => None,
    };
    Ok(Pulled { root, kernel })
}

/// Takes the filesystem out of a bundle, into a file without a name.
fn unpack(
    path: &Path,
    sha256: Option<[u8; 32]>,
    name: &str,
    console: &mut Console,
) -> Result<Planned, Failure> {
    let what = || format!("cannot unpack the bundle {name}");
    let file = File::open(path).map_err(|error| Failure::failed(what()).because(error))?;
    let mut sink = Forward::new(Scratch::create()?);
    bundle::extract(file, sha256, &mut sink, console)
        .map_err(|error| remedy::open(what(), error))?;
    let base = sink
        .into_placed()
        .and_then(|(scratch, len)| scratch.into_reader(len))
        .map_err(|error| remedy::block(what(), error))?;
    let way = "the bundle's filesystem was unpacked into a temporary file";
    Ok(Planned::new(base, way.to_owned(), Vec::new()))
}

/// Makes sure that a kernel is kept; one that cannot be had is said, and another one taken.
fn kept(args: &Args, name: &str, console: &mut Console) -> Option<OsString> {
    let mut fetched = || -> Result<(), Failure> {
        let kernels = Kernels::open()?;
        if kernels.get(name)?.is_some() {
            return Ok(());
        }
        let query = Query {
            kind: "kernel",
            name,
            catalog: args.catalog.catalog.as_deref(),
            arch: None,
            sha256: None,
        };
        let (network, wanted) = query.locate(&args.source.network, console)?;
        let mut adding = Adding::begin(&kernels, console.signals())?;
        fetch(&mut adding, &network, &wanted, console)?;
        let keep = Keep {
            name: Some(name.to_owned()),
            ..Keep::default()
        };
        adding.finish(&keep).map(drop)
    };
    match fetched() {
        Ok(()) => Some(name.into()),
        Err(failure) => {
            console.say(&format!("another kernel is taken: {}", failure.line()));
            None
        }
    }
}
