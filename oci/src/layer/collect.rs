//! Layers laid over each other as a tree whose contents can be read at any offset.

use std::path::Path;
use std::sync::Arc;

use forger_block::{BlockRead, ScratchFile};
use forger_fs::ext4::Layer;
use forger_fs::observe::Observer;
use forger_fs::source::{BodyRun, Error as SourceError, Source};
use forger_fs::tree::{CollectError, Content, Meta, Policy, Tree};

/// How many content bytes pass between two looks at the observer.
const BREATH: u64 = 1 << 20;

/// A content that is kept: its runs, each with its place in the scratch file unless it is a hole.
type Kept = Vec<(Option<u64>, u64)>;

/// Lays sources over each other, the lowest first. Contents are kept in an unnamed file in `scratch`.
///
/// The root is 0755 root:root unless a source has an entry for it.
///
/// # Errors
/// Whatever is wrong with the sources, or the scratch file.
pub fn collect(
    layers: &mut [Layer<'_>],
    scratch: &Path,
    observer: &mut dyn Observer,
) -> Result<Tree<Content>, CollectError> {
    let failed =
        |error: forger_block::Error| CollectError::Source(SourceError::Other(Box::new(error)));
    let file = ScratchFile::create_in(scratch).map_err(failed)?;
    let root = Meta {
        mode: 0o755,
        ..Meta::default()
    };
    let mut tree: Tree<Kept> = Tree::new(root);
    let (mut at, mut reported) = (0u64, 0u64);
    for Layer { source, overlay } in layers {
        let policy = Policy {
            keep_directory_symlink: *overlay,
        };
        let mut take = |source: &mut dyn Source, _: &[u8], _: u64| {
            let mut kept = Kept::new();
            while let Some(run) = source.next_run()? {
                match run {
                    BodyRun::Hole(len) => kept.push((None, len)),
                    BodyRun::Data { bytes, .. } => {
                        file.write_at(at, bytes).map_err(failed)?;
                        let len = bytes.len() as u64;
                        match kept.last_mut() {
                            Some((Some(start), before)) if *start + *before == at => *before += len,
                            _ => kept.push((Some(at), len)),
                        }
                        at += len;
                    }
                }
                if at - reported >= BREATH {
                    observer.advance(at - reported);
                    reported = at;
                    if observer.cancelled() {
                        return Err(failed(forger_block::Error::Interrupted));
                    }
                }
            }
            Ok(kept)
        };
        tree.add_with(&mut **source, policy, &mut take)?;
        source
            .take_notes()
            .into_iter()
            .for_each(|note| observer.note(note));
    }
    tree.settle().map_err(CollectError::Links)?;
    file.set_len(at).map_err(failed)?;
    let origin: Arc<dyn BlockRead> = Arc::new(file.into_reader().map_err(failed)?);
    Ok(tree.map_contents(|kept| {
        let mut content = Content::new();
        for (place, len) in kept {
            match place {
                Some(offset) => content.push_span(&origin, offset, len),
                None => content.push_hole(len),
            }
        }
        content
    }))
}
