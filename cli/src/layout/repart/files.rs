//! Which files go into a partition, and under which names.

use forger_fs::source::{Exclude, Rebase, Select};
use forger_fs::tree::{CollectError, Content, INLINE_LIMIT, Kind, Meta, Policy, Tree, TreeSource};

use super::super::{Error, Place};
use super::Ground;
use super::definition::Definition;
use crate::assemble::Type;

/// Returns what is left out of a partition: what its definition says, and of the whole root filesystem what
/// other partitions take.
pub(super) fn excluded(definition: &Definition, all: &[Definition]) -> Vec<String> {
    let mut excluded = definition.exclude.clone();
    if !definition.kind.is_root() {
        return excluded;
    }
    for (name, folder) in [
        ("home", "/home"),
        ("srv", "/srv"),
        ("var", "/var"),
        ("tmp", "/var/tmp"),
        ("usr", "/usr"),
    ] {
        let kind = Type::named(name);
        let taken = all.iter().any(|other| {
            let from = other
                .copy
                .iter()
                .any(|[from, _]| from.trim_end_matches('/') == folder);
            Some(&other.kind) == kind.as_ref() && from
        });
        if taken {
            // Not the folder itself: that is where the other partition is mounted.
            excluded.push(format!("{folder}/"));
        }
    }
    excluded
}

/// Returns all files of the root filesystem.
pub(super) fn root_files(ground: &Ground<'_>) -> Result<Tree<Content>, Error> {
    let place = Place {
        file: String::new(),
        line: None,
    };
    copy(ground.tree, ["/", "/"], &[], &place)
}

/// Gathers the files of a partition.
pub(super) fn gather(
    definition: &Definition,
    root: bool,
    excluded: &[String],
    ground: &Ground<'_>,
) -> Result<Tree<Content>, Error> {
    let place = &definition.place;
    let mut whole = Tree::new(Meta {
        mode: 0o755,
        ..Meta::default()
    });
    let everything = [["/".to_owned(), "/".to_owned()]];
    let pairs = match root && definition.copy.is_empty() {
        true => &everything[..],
        false => &definition.copy[..],
    };
    for [from, to] in pairs {
        let part = copy(ground.tree, [from, to], excluded, place)?;
        let added = whole.add(&mut TreeSource::new(&part), Policy::default(), INLINE_LIMIT);
        added.map_err(|source| failed(place, from, source))?;
    }
    let meta = |mode| Meta {
        mode,
        ..Meta::default()
    };
    let folders = definition
        .folders
        .iter()
        .map(|path| (path, Kind::directory(), 0o755));
    let links = definition.links.iter().map(|[path, target]| {
        let target = target.as_bytes().to_vec().into();
        (path, Kind::Symlink(target), 0o777)
    });
    for (path, kind, mode) in folders.chain(links) {
        let folder = kind.is_directory() && whole.is_folder(path.as_bytes());
        if folder {
            continue;
        }
        let put = whole.put(path.as_bytes(), meta(mode), kind, Policy::default());
        put.map_err(|source| Error::Path {
            place: place.clone(),
            path: path.clone(),
            source: Box::new(source),
        })?;
    }
    whole
        .settle()
        .map_err(|source| failed(place, "/", CollectError::Links(source)))?;
    Ok(whole)
}

fn failed(place: &Place, path: &str, source: CollectError) -> Error {
    Error::Copy {
        place: place.clone(),
        path: path.to_owned(),
        source: Box::new(source),
    }
}

/// Copies a file or folder to another name.
fn copy(
    tree: &Tree<Content>,
    [from, to]: [&str; 2],
    excluded: &[String],
    place: &Place,
) -> Result<Tree<Content>, Error> {
    let missing = || {
        Error::at(
            place,
            format!("CopyFiles={from}: there is none in the root filesystem"),
        )
    };
    let found = tree.get(from.as_bytes()).ok_or_else(missing)?;
    let target = to.trim_matches('/');
    let node = tree.node(found);
    if node.directory().is_none() {
        let mut one = Tree::new(Meta {
            mode: 0o755,
            ..Meta::default()
        });
        let put = one.put(
            target.as_bytes(),
            node.meta.clone(),
            node.kind.clone(),
            Policy::default(),
        );
        return match put {
            Ok(_) => Ok(one),
            Err(source) => Err(Error::Path {
                place: place.clone(),
                path: to.to_owned(),
                source: Box::new(source),
            }),
        };
    }
    let source = Select::new(TreeSource::below(tree, found), patterns(from, excluded), 0);
    let copied = match target.is_empty() {
        true => Tree::collect(&mut { source }, Policy::default()),
        false => {
            let mut below = Rebase::new(source, target.as_bytes());
            Tree::collect(&mut below, Policy::default())
        }
    };
    copied.map_err(|source| failed(place, from, source))
}

/// Returns the patterns for what is left out below a folder.
fn patterns(from: &str, excluded: &[String]) -> Exclude {
    let from = from.trim_end_matches('/');
    let mut patterns = Vec::new();
    for path in excluded {
        let Some(rest) = path.strip_prefix(from).filter(|rest| rest.starts_with('/')) else {
            continue;
        };
        // What stands there is a name, not a pattern.
        let mut pattern = String::new();
        for c in rest.trim_end_matches('/').chars() {
            if "*?[\\".contains(c) {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        if path.ends_with('/') {
            pattern.push_str("/*");
        }
        patterns.push(pattern);
    }
    Exclude::new(patterns)
}
