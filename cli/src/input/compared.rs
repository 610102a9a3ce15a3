//! Opens what is compared: metadata in memory, contents where they can be read again, else their
//! digests.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use forger::address::Address;
use forger_block::FileReader;
use forger_fs::folder::Contents;
use forger_fs::observe::Observer;
use forger_fs::source::{BodyRun, Source};
use forger_fs::tree::compare::{Body, Digests};
use forger_fs::tree::{CollectError, Content, Meta, NodeId, Policy, Tree};

use super::opener::{Again, Opener};
use super::{Way, is_image};
use crate::args::read::ReadArgs;
use crate::args::source::{Expect, Named, SourceArgs};
use crate::config::Environment;
use crate::exit::Failure;
use crate::image::Opened;
use crate::lost_found;
use crate::oci;
use crate::progress::Console;
use crate::remedy;

/// A tree to be compared, and where in it.
pub(crate) struct Compared {
    /// All of it.
    pub(crate) tree: Tree<Body>,
    /// What is compared of it, with all below.
    pub(crate) start: NodeId,
    /// Files whose contents are read later.
    files: Vec<Arc<FileReader>>,
}

impl Compared {
    /// Opens an image (or a path in one), an archive or a folder.
    ///
    /// # Errors
    /// What cannot be opened or read.
    pub(crate) fn open(
        typed: &OsStr,
        args: &SourceArgs,
        console: &mut Console,
    ) -> Result<Self, Failure> {
        let path = Path::new(typed);
        let named = Named::any(typed);
        let address = Address::parse(typed, |path| path.exists());
        let inside = address.path.is_some() || address.part.is_some();
        let mut compared = if oci::transport(typed)?.is_some() {
            streamed(&named, Expect::Any, args, console)?
        } else if named.is_stdin() {
            streamed(&named, Expect::Tar, args, console)?
        } else if inside || (path.is_file() && is_image(path)) {
            image(typed, &args.read)?
        } else if path.is_dir() {
            folder(&named, args, console)?
        } else {
            streamed(&named, Expect::Tar, args, console)?
        };
        lost_found::leave_out(&mut compared.tree, compared.start);
        Ok(compared)
    }

    /// Checks that no file changed since it was opened.
    ///
    /// # Errors
    /// The file that did.
    pub(crate) fn check_unchanged(&self) -> forger_block::Result<()> {
        self.files
            .iter()
            .try_for_each(|file| file.check_unchanged())
    }
}

fn image(typed: &OsStr, read: &ReadArgs) -> Result<Compared, Failure> {
    let opened = Opened::open(typed, read)?;
    let tree = opened.image.tree().map_err(|error| opened.failure(error))?;
    let path = opened.address.path_or_root();
    let start = tree
        .get(path)
        .ok_or_else(|| opened.failure("there is no such name"))?;
    Ok(Compared {
        start,
        tree: tree.map_contents(Body::Content),
        files: Vec::new(),
    })
}

fn folder(named: &Named, args: &SourceArgs, console: &mut Console) -> Result<Compared, Failure> {
    let contents = Contents::open(&named.path).map_err(|error| {
        Failure::failed(format!("cannot take the folder {}", named.shown())).because(error)
    })?;
    let mut take = |_: &mut dyn Source, path: &[u8], size: u64| {
        Ok(Body::Content(contents.content(path, size)))
    };
    collect(named, Expect::Folder, args, console, &mut take)
}

/// Takes what is read once, in order: an archive, or the layers of a container image.
fn streamed(
    named: &Named,
    expect: Expect,
    args: &SourceArgs,
    console: &mut Console,
) -> Result<Compared, Failure> {
    let mut take = |source: &mut dyn Source, _: &[u8], _: u64| body(source);
    collect(named, expect, args, console, &mut take)
}

/// Takes a content: as spans of the source's origin, else as digests.
fn body(source: &mut dyn Source) -> Result<Body, CollectError> {
    if let Some(origin) = source.origin() {
        let mut content = Content::new();
        while let Some(run) = source.next_run()? {
            match run {
                BodyRun::Data {
                    bytes,
                    at: Some(at),
                } => content.push_span(&origin, at, bytes.len() as u64),
                BodyRun::Data { bytes, at: None } => content.push_inline(bytes.to_vec()),
                BodyRun::Hole(len) => content.push_hole(len),
            }
        }
        return Ok(Body::Content(content));
    }
    let mut digests = Digests::default();
    while let Some(run) = source.next_run()? {
        match run {
            BodyRun::Data { bytes, .. } => digests.push(bytes),
            BodyRun::Hole(len) => digests.push_hole(len),
        }
    }
    digests.finish();
    Ok(Body::Digests(digests))
}

/// Takes the content of an entry, of which path and size are known.
type Take<'a> = dyn FnMut(&mut dyn Source, &[u8], u64) -> Result<Body, CollectError> + 'a;

fn collect(
    named: &Named,
    expect: Expect,
    args: &SourceArgs,
    console: &mut Console,
    take: &mut Take<'_>,
) -> Result<Compared, Failure> {
    let environment = Environment::real();
    let mut opener = Opener {
        way: Way::Once,
        args,
        ignore: Default::default(),
        environment: &environment,
        console,
        again: Again::default(),
        folders: Vec::new(),
        config: None,
    };
    let named = Named {
        expect,
        ..named.clone()
    };
    let sources = opener.named(&named)?;
    let files = opener.again.files;
    let mut tree = Tree::new(Meta {
        mode: 0o755,
        ..Meta::default()
    });
    let mut added = Ok(());
    for mut source in sources {
        added = added.and_then(|()| tree.add_with(&mut *source, Policy::default(), take));
        source
            .take_notes()
            .into_iter()
            .for_each(|note| console.note(note));
    }
    match added.and_then(|()| tree.settle().map(drop).map_err(CollectError::Links)) {
        Ok(()) => Ok(Compared {
            start: tree.root(),
            tree,
            files,
        }),
        Err(error) => Err(remedy::collect(
            format!("cannot read {}", named.shown()),
            error,
        )),
    }
}
