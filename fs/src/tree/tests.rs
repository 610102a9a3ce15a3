mod pairs;
mod playback;

use super::*;

/// A tree of contents that are only names, and every way to ask it.
type Names = Tree<&'static str>;

const ROOTFS: Policy = Policy {
    keep_directory_symlink: false,
};
const OVERLAY: Policy = Policy {
    keep_directory_symlink: true,
};

fn meta(uid: u32) -> Meta {
    Meta {
        mode: 0o640,
        uid,
        ..Meta::default()
    }
}

fn root() -> Meta {
    Meta {
        mode: 0o755,
        ..Meta::default()
    }
}

fn symlink(target: &str) -> Kind<&'static str> {
    Kind::Symlink(target.as_bytes().into())
}

/// Builds a tree: `a=text` is a file, `a/` a folder, `a>b` a symlink, `a:b` a hard link.
fn tree(entries: &[&'static str]) -> Names {
    let mut tree = Names::new(root());
    for entry in entries {
        add(&mut tree, entry, ROOTFS).unwrap();
    }
    tree
}

fn add(tree: &mut Names, entry: &'static str, policy: Policy) -> Result<Vec<&'static str>, Error> {
    let cut = |at: char| entry.split_once(at);
    if let Some((path, content)) = cut('=') {
        let put = tree.put(path.as_bytes(), meta(1), Kind::File(content), policy)?;
        Ok(put.released)
    } else if let Some((path, target)) = cut('>') {
        let put = tree.put(path.as_bytes(), meta(2), symlink(target), policy)?;
        Ok(put.released)
    } else if let Some((path, target)) = cut(':') {
        Ok(tree
            .link(path.as_bytes(), target.as_bytes(), None)?
            .released)
    } else {
        let put = tree.put(entry.as_bytes(), meta(3), Kind::directory(), policy)?;
        Ok(put.released)
    }
}

/// Lists a tree in the notation of [`tree`], with `(uid)` of folders that are not implied.
fn list(tree: &Names) -> Vec<String> {
    let mut lines = Vec::new();
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        let path = String::from_utf8_lossy(walk.path()).into_owned();
        let node = tree.node(visit.node);
        lines.push(match &node.kind {
            Kind::File(content) if node.names() > 1 => {
                format!("{path}={content}*{}", node.names())
            }
            Kind::File(content) => format!("{path}={content}"),
            Kind::Symlink(target) => format!("{path}>{}", shown(target)),
            Kind::Directory(_) if node.implied() => format!("{path}/"),
            Kind::Directory(_) => format!("{path}/({})", node.meta.uid),
            other => format!("{path} {}", other.name()),
        });
    }
    lines
}

fn node<'a>(tree: &'a Names, path: &str) -> &'a Node<&'static str> {
    tree.node(tree.get(path.as_bytes()).unwrap())
}

fn refused(entries: &[&'static str], last: &'static str) -> Error {
    let mut tree = tree(entries);
    let before = list(&tree);
    let error = add(&mut tree, last, ROOTFS).unwrap_err();
    assert_eq!(list(&tree), before, "{last} changed the tree");
    error
}

#[test]
fn names_lose_leading_slashes_and_dots() {
    let tree = tree(&["/a/b=1", "./a/c=2", "a//./d=3", ".//e/=4"]);
    assert_eq!(list(&tree), ["/", "a/", "a/b=1", "a/c=2", "a/d=3", "e=4"]);
}

#[test]
fn every_spelling_of_the_root_gives_it_its_metadata() {
    for path in [".", "./", "/", "//", "/./"] {
        let mut tree = Names::new(root());
        assert!(tree.node(tree.root()).implied());
        add(&mut tree, path, ROOTFS).unwrap();
        assert_eq!(list(&tree), ["/(3)"], "{path}");
        assert_eq!(tree.get(path.as_bytes()), Some(NodeId::ROOT));
    }
}

#[test]
fn root_is_replaced_by_nothing_but_a_folder() {
    assert_eq!(refused(&[], "./=x"), Error::Root { kind: "a file" });
    assert_eq!(refused(&[], "/>x"), Error::Root { kind: "a symlink" });
    let kind = "a hard link";
    assert_eq!(refused(&["a=1"], ".:a"), Error::Root { kind });
    let kind = "nothing";
    assert_eq!(tree(&[]).remove(b"/"), Err(Error::Root { kind }));
}

#[test]
fn names_that_leave_the_root_are_refused() {
    for entry in ["../a=x", "a/../../b=x", "/../a>x", "..", "x/../..:a"] {
        assert_eq!(refused(&["a=1"], entry), Error::LeavesRoot, "{entry}");
    }
    // As text it stays inside, but the link leads to the root first.
    assert_eq!(refused(&["l>."], "l/../x=1"), Error::LeavesRoot);
}

#[test]
fn hard_link_target_that_leaves_the_root_is_refused() {
    let error = refused(&[], "a:../etc/shadow");
    let Error::LinkTarget { source, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(*source, Error::LeavesRoot);
}

#[test]
fn parent_steps_apply_after_links_are_followed() {
    let tree = tree(&["l>a/b", "a/b/", "l/../x=1", "c/../y=2", "a/b/../../z=3"]);
    assert_eq!(
        list(&tree),
        ["/", "a/", "a/b/(3)", "a/x=1", "l>a/b", "y=2", "z=3"]
    );
}

#[test]
fn name_ending_in_parent_steps_is_a_folder_or_refused() {
    let kind = "a file";
    assert_eq!(refused(&["a/b/"], "a/b/..=x"), Error::EndsInParent { kind });
    let mut tree = tree(&["a/b/", "a/b/..", "n/m/.."]);
    assert_eq!(list(&tree), ["/", "a/(3)", "a/b/(3)", "n/(3)"]);
    assert_eq!(tree.get(b"a/b/.."), tree.get(b"a"));
    let kind = "nothing";
    assert_eq!(tree.remove(b"a/b/.."), Err(Error::EndsInParent { kind }));
}

#[test]
fn symlinks_resolve_as_in_a_chroot() {
    let tree = tree(&[
        "usr/lib/",
        "lib>usr/lib",
        "lib/1=1",
        "abs>/usr/lib",
        "abs/2=2",
        "up>../../../usr/lib",
        "up/3=3",
        "usr/back>../lib",
        "usr/back/4=4",
        "late>opt/x",
        "late/5=5",
    ]);
    assert_eq!(
        list(&tree),
        [
            "/",
            "abs>/usr/lib",
            "late>opt/x",
            "lib>usr/lib",
            "opt/",
            "opt/x/",
            "opt/x/5=5",
            "up>../../../usr/lib",
            "usr/",
            "usr/back>../lib",
            "usr/lib/(3)",
            "usr/lib/1=1",
            "usr/lib/2=2",
            "usr/lib/3=3",
            "usr/lib/4=4",
        ]
    );
    assert_eq!(tree.get(b"lib/1"), tree.get(b"usr/lib/1"));
    assert_eq!(node(&tree, "lib").kind.name(), "a symlink");
}

#[test]
fn forty_symlinks_are_followed_and_no_more() {
    let mut tree = tree(&["d/"]);
    for n in 0..=40 {
        let target = if n == 0 {
            "d".into()
        } else {
            format!("l{}", n - 1)
        };
        let path = format!("l{n}");
        let put = tree.put(path.as_bytes(), meta(0), symlink(&target), ROOTFS);
        put.unwrap();
    }
    // l39 leads through 40 links, l40 through 41.
    assert!(add(&mut tree, "l39/x=1", ROOTFS).is_ok());
    let error = add(&mut tree, "l40/x=1", ROOTFS).unwrap_err();
    assert_eq!(error, Error::TooManySymlinks { name: "l0".into() });
    let error = refused(&["a>b", "b>a"], "a/x=1");
    assert!(matches!(error, Error::TooManySymlinks { .. }));
}

#[test]
fn parent_that_is_no_folder_is_refused() {
    let parent = |name: &str, kind| Error::NotADirectory {
        name: name.into(),
        kind,
    };
    assert_eq!(refused(&["a=1"], "a/b=2"), parent("a", "a file"));
    assert_eq!(refused(&["a=1", "l>a"], "l/b=2"), parent("a", "a file"));
}

#[test]
fn implied_folder_is_0755_root_until_its_entry_arrives() {
    let mut tree = tree(&["a/b=1"]);
    let folder = node(&tree, "a");
    assert!(folder.implied());
    assert_eq!(folder.meta, root());
    add(&mut tree, "a/", ROOTFS).unwrap();
    assert!(!node(&tree, "a").implied());
    assert_eq!(node(&tree, "a").meta, meta(3));
    assert_eq!(list(&tree), ["/", "a/(3)", "a/b=1"]);
}

#[test]
fn folder_over_folder_replaces_metadata_wholly_and_keeps_children() {
    let mut tree = tree(&["a/", "a/b=1"]);
    let id = tree.get(b"a").unwrap();
    tree.meta_mut(id).mtime = Some(Time::from_sec(7));
    tree.meta_mut(id)
        .xattrs
        .insert((*b"user.a").into(), (*b"1").into());
    let put = tree.put(b"a", meta(9), Kind::directory(), ROOTFS).unwrap();
    assert_eq!(put.node, id);
    assert_eq!(tree.node(id).meta, meta(9));
    assert_eq!(list(&tree), ["/", "a/(9)", "a/b=1"]);
}

#[test]
fn folder_over_symlink_replaces_it_in_a_root_filesystem() {
    let mut tree = tree(&["usr/bin/", "bin>usr/bin"]);
    add(&mut tree, "bin/", ROOTFS).unwrap();
    add(&mut tree, "bin/sh=1", ROOTFS).unwrap();
    assert_eq!(
        list(&tree),
        ["/", "bin/(3)", "bin/sh=1", "usr/", "usr/bin/(3)"]
    );
}

#[test]
fn folder_over_symlink_to_folder_follows_it_in_an_overlay() {
    let mut tree = tree(&["usr/bin/", "bin>usr/bin", "f=1", "to-file>f", "to-none>no"]);
    let put = tree
        .put(b"bin", meta(9), Kind::directory(), OVERLAY)
        .unwrap();
    assert_eq!(Some(put.node), tree.get(b"usr/bin"));
    assert_eq!(node(&tree, "usr/bin").meta, meta(3), "as GNU tar leaves it");
    add(&mut tree, "bin/sh=2", OVERLAY).unwrap();
    add(&mut tree, "to-file/", OVERLAY).unwrap();
    add(&mut tree, "to-none/", OVERLAY).unwrap();
    assert_eq!(
        list(&tree),
        [
            "/",
            "bin>usr/bin",
            "f=1",
            "to-file/(3)",
            "to-none/(3)",
            "usr/",
            "usr/bin/(3)",
            "usr/bin/sh=2",
        ]
    );
}

#[test]
fn file_over_folder_removes_the_subtree_but_not_links_elsewhere() {
    let mut tree = tree(&["a/b/c=1", "a/b/d=2", "a/e=3", "keep:a/b/d", "a/w:none"]);
    let mut released = add(&mut tree, "a=4", ROOTFS).unwrap();
    released.sort_unstable();
    assert_eq!(released, ["1", "3"]);
    assert_eq!(list(&tree), ["/", "a=4", "keep=2"]);
    assert_eq!(tree.settle(), Ok(vec![]), "the waiting link went as well");
}

#[test]
fn hard_link_over_folder_keeps_its_target_that_lies_inside() {
    let mut tree = tree(&["a/f=1", "a/g=2"]);
    assert_eq!(add(&mut tree, "a:a/f", ROOTFS), Ok(vec!["2"]));
    assert_eq!(list(&tree), ["/", "a=1"]);
}

#[test]
fn later_replacement_of_the_target_leaves_earlier_links_on_the_old_node() {
    let mut tree = tree(&["a=1", "b:a", "a=2", "c:a"]);
    assert_eq!(list(&tree), ["/", "a=2*2", "b=1", "c=2*2"]);
    assert_eq!(add(&mut tree, "b=3", ROOTFS), Ok(vec!["1"]));
    assert_eq!(tree.remove(b"a"), Ok(vec![]));
    assert_eq!(tree.remove(b"c"), Ok(vec!["2"]));
    assert_eq!(list(&tree), ["/", "b=3"]);
}

#[test]
fn link_before_its_target_is_bound_at_the_end() {
    let mut tree = tree(&["b:x/a", "c:b", "x/a=1"]);
    assert_eq!(list(&tree), ["/", "x/", "x/a=1"]);
    assert_eq!(tree.pending(), 2);
    assert_eq!(tree.settle(), Ok(vec![]));
    assert_eq!(list(&tree), ["/", "b=1*3", "c=1*3", "x/", "x/a=1*3"]);
    assert_eq!(tree.pending(), 0);
    assert_eq!(tree.settle(), Ok(vec![]));
}

#[test]
fn pending_link_takes_the_place_of_what_stood_there() {
    let mut tree = tree(&["b=old"]);
    assert_eq!(add(&mut tree, "b:a", ROOTFS), Ok(vec!["old"]));
    assert_eq!(list(&tree), ["/"]);
    add(&mut tree, "a=1", ROOTFS).unwrap();
    tree.settle().unwrap();
    assert_eq!(list(&tree), ["/", "a=1*2", "b=1*2"]);
}

#[test]
fn pending_name_that_is_replaced_is_dropped() {
    let mut tree = tree(&["b:none", "c:none", "b=1", "c/"]);
    tree.link(b"d", b"none", Some("body")).unwrap();
    assert_eq!(add(&mut tree, "d>x", ROOTFS), Ok(vec!["body"]));
    tree.link(b"e", b"none", Some("body")).unwrap();
    assert_eq!(tree.remove(b"e"), Ok(vec!["body"]));
    assert_eq!(tree.settle(), Ok(vec![]));
    assert_eq!(list(&tree), ["/", "b=1", "c/(3)", "d>x"]);
}

#[test]
fn pending_name_as_parent_is_refused() {
    let name = "b".to_owned();
    assert_eq!(refused(&["b:a"], "b/c=1"), Error::PendingParent { name });
}

#[test]
fn link_whose_target_never_arrives_is_an_error_naming_both() {
    let mut tree = tree(&["b:x/a"]);
    let error = tree.settle().unwrap_err();
    let [link, target] = ["b", "x/a"].map(String::from);
    assert_eq!(error, Error::LinkToNothing { link, target });
    assert_eq!(tree.pending(), 1, "an error changes nothing");
}

#[test]
fn links_that_lead_to_each_other_are_an_error() {
    for entries in [&["a:b", "b:a"][..], &["a:a"], &["x:a", "a:b", "b:c", "c:a"]] {
        let error = tree(entries).settle().unwrap_err();
        assert!(matches!(error, Error::LinkCycle { .. }), "{error:?}");
    }
}

#[test]
fn link_to_itself_changes_nothing() {
    let tree = tree(&["a=1", "a:a", "d/b=2", "d/b:./d//b", "c:a", "c:a", "a:c"]);
    assert_eq!(list(&tree), ["/", "a=1*2", "c=1*2", "d/", "d/b=2"]);
}

#[test]
fn link_to_symlink_is_a_link_to_the_symlink() {
    let tree = tree(&["a=1", "s>a", "l:s"]);
    assert_eq!(tree.get(b"l"), tree.get(b"s"));
    assert_eq!(node(&tree, "s").names(), 2);
    assert_eq!(node(&tree, "a").names(), 1);
}

#[test]
fn link_to_folder_is_refused_now_and_at_the_end() {
    let [link, target] = ["l", "d"].map(String::from);
    let expected = Error::LinkToDirectory { link, target };
    assert_eq!(refused(&["d/"], "l:d"), expected);
    assert_eq!(tree(&["l:d", "d/"]).settle(), Err(expected));
    let error = refused(&[], "l:/");
    assert!(matches!(error, Error::LinkToDirectory { .. }));
}

#[test]
fn link_with_body_replaces_the_content_for_all_names() {
    let mut tree = tree(&["a=1", "b:a"]);
    let linked = tree.link(b"c", b"b", Some("2")).unwrap();
    assert_eq!(linked.released, ["1"]);
    assert_eq!(list(&tree), ["/", "a=2*3", "b=2*3", "c=2*3"]);
    let linked = tree.link(b"c", b"c", Some("3")).unwrap();
    assert_eq!(linked.released, ["2"]);
    assert_eq!(list(&tree), ["/", "a=3*3", "b=3*3", "c=3*3"]);
}

#[test]
fn bodies_of_pending_links_replace_the_content_in_order() {
    let mut tree = Names::new(root());
    tree.link(b"a", b"b", Some("1")).unwrap();
    tree.link(b"b", b"c", Some("2")).unwrap();
    add(&mut tree, "c=3", ROOTFS).unwrap();
    assert_eq!(tree.settle(), Ok(vec!["3", "1"]));
    assert_eq!(list(&tree), ["/", "a=2*3", "b=2*3", "c=2*3"]);
}

#[test]
fn link_with_body_to_what_has_no_content_is_refused() {
    let mut tree = tree(&["s>x", "l:s"]);
    let error = tree.link(b"m", b"s", Some("1")).unwrap_err();
    assert!(matches!(
        error,
        Error::LinkBody {
            kind: "a symlink",
            ..
        }
    ));
    tree.link(b"m", b"t", Some("1")).unwrap();
    add(&mut tree, "t>x", ROOTFS).unwrap();
    let error = tree.settle().unwrap_err();
    assert!(matches!(
        error,
        Error::LinkBody {
            kind: "a symlink",
            ..
        }
    ));
}

#[test]
fn symlink_targets_are_kept_byte_for_byte() {
    let mut tree = Names::new(root());
    let target: &[u8] = b"..//./\xff/../../../x/";
    tree.put(b"s", meta(0), Kind::Symlink(target.into()), ROOTFS)
        .unwrap();
    let Kind::Symlink(kept) = &node(&tree, "s").kind else {
        panic!();
    };
    assert_eq!(&**kept, target);
    let error = tree.put(b"t", meta(0), Kind::Symlink([].into()), ROOTFS);
    assert_eq!(error.unwrap_err(), Error::EmptyTarget);
}

#[test]
fn check_says_what_put_would_say_and_changes_nothing() {
    let tree = tree(&["a=1", "d/", "s>d"]);
    for (path, expected) in [
        (&b"x/y/z"[..], Ok(())),
        (b"d", Ok(())),
        (b"s/x", Ok(())),
        (b"./", Err(Error::Root { kind: "a file" })),
        (b"", Err(Error::EmptyName)),
        (b"../x", Err(Error::LeavesRoot)),
    ] {
        assert_eq!(tree.check(path), expected);
    }
    assert!(tree.check(b"a/x").is_err());
    assert!(tree.check_link(b"x", b"d", false).is_err());
    assert!(tree.check_link(b"x", b"s", true).is_err());
    assert_eq!(tree.check_link(b"x", b"none", true), Ok(()));
    assert_eq!(list(&tree), ["/", "a=1", "d/(3)", "s>d"]);
}

#[test]
fn ids_are_in_order_of_arrival_and_never_used_twice() {
    let mut tree = tree(&["z=1", "a=2", "z=3", "m/n=4"]);
    let ids: Vec<u32> = tree.ids().map(|id| id.0).collect();
    assert_eq!(ids, [0, 2, 3, 4, 5]);
    assert_eq!(tree.len(), 5);
    tree.remove(b"m").unwrap();
    add(&mut tree, "b=5", ROOTFS).unwrap();
    assert_eq!(tree.get(b"b"), Some(NodeId(6)));
    assert_eq!(tree.id_bound(), 7);
    assert_eq!(tree.len(), 4);
}

#[test]
fn nested_folders_of_any_depth_do_not_overflow_the_stack() {
    const DEPTH: usize = 100_000;
    let mut tree = Names::new(root());
    let path = b"d/".repeat(DEPTH);
    tree.put(&path, meta(0), Kind::directory(), ROOTFS).unwrap();
    assert_eq!(tree.walk().map(|visit| visit.depth).max(), Some(DEPTH));
    drop(tree.clone());
    assert_eq!(tree.remove(b"d"), Ok(vec![]));
    assert!(tree.is_empty());
}

#[test]
fn memory_grows_with_entries_and_shrinks_with_names() {
    let mut tree = Names::new(root());
    let empty = tree.memory();
    for n in 0..1000 {
        let path = format!("d/{n:020}");
        tree.put(path.as_bytes(), meta(0), Kind::File("x"), ROOTFS)
            .unwrap();
    }
    let full = tree.memory();
    let each = (full - empty) / 1000;
    assert!((200..=320).contains(&each), "{each} bytes per entry");
    tree.remove(b"d").unwrap();
    assert!(tree.memory() < full);
    tree.link(b"x", b"y", None).unwrap();
    tree.put(b"y", meta(0), Kind::File("x"), ROOTFS).unwrap();
    tree.settle().unwrap();
    for path in [b"x", b"y"] {
        tree.remove(path).unwrap();
    }
    let arena = u64::try_from(tree.id_bound() * size_of::<Option<Node<&str>>>()).unwrap();
    assert_eq!(tree.memory(), arena, "every charge is refunded");
}
