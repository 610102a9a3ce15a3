//! The last entry wins: all 49 pairs of the seven kinds.

use super::*;

/// The kinds, in the order of the table's rows and columns.
const KINDS: [&str; 7] = [
    "file",
    "hard link",
    "symlink",
    "char",
    "block",
    "folder",
    "fifo",
];

/// What the table's letters say.
///
/// - `n`: a new node has the name; the old node lost it.
/// - `l`: the target's node has the name; the old node lost it.
/// - `=`: nothing changed: the name already referred to the target's node.
/// - `N`, `L`: as `n`, `l`, and all that was in the folder is gone.
/// - `m`: the folder has new metadata; what was in it stays.
const TABLE: [&str; 7] = [
    // arrives: file, hard link, symlink, char, block, folder, fifo
    "n l n n n n n", // file stands
    "n = n n n n n", // hard link
    "n l n n n n n", // symlink
    "n l n n n n n", // char
    "n l n n n n n", // block
    "N L N N N m N", // folder
    "n l n n n n n", // fifo
];

const DEVICE: Device = Device { major: 1, minor: 3 };

/// Puts an entry of a kind at `x`; every entry's uid is its own.
fn arrive(tree: &mut Names, kind: &str, uid: u32, content: &'static str) -> Vec<&'static str> {
    let kind = match kind {
        "hard link" => return tree.link(b"x", b"target", None).unwrap().released,
        "file" => Kind::File(content),
        "symlink" => symlink("elsewhere"),
        "char" => Kind::CharDevice(DEVICE),
        "block" => Kind::BlockDevice(DEVICE),
        "folder" => Kind::directory(),
        _ => Kind::Fifo,
    };
    tree.put(b"x", meta(uid), kind, ROOTFS).unwrap().released
}

fn check(standing: &str, arriving: &str, expected: &str) {
    let pair = format!("{arriving} over {standing}");
    let mut tree = tree(&["target=target", "elsewhere/", "keep/"]);
    arrive(&mut tree, standing, 11, "old");
    if standing == "folder" {
        add(&mut tree, "x/in/file=inside", ROOTFS).unwrap();
        add(&mut tree, "x/linked=linked", ROOTFS).unwrap();
        add(&mut tree, "keep/linked:x/linked", ROOTFS).unwrap();
    }
    let old = tree.get(b"x").unwrap();
    let target = tree.get(b"target").unwrap();
    let count = tree.len();

    let released = arrive(&mut tree, arriving, 22, "new");

    let now = tree.get(b"x").unwrap();
    let lost: &[_] = match (standing, expected) {
        ("file", "n" | "l") => &["old"],
        ("folder", "N" | "L") => &["inside"],
        _ => &[],
    };
    assert_eq!(released, lost, "{pair}: released");
    match expected {
        "n" | "N" => assert!(now != old && now != target, "{pair}: a new node"),
        "l" | "L" => assert!(now == target && now != old, "{pair}: the target's node"),
        _ => assert_eq!(now, old, "{pair}: the same node"),
    }
    let node = tree.node(now);
    if now == target {
        assert_eq!((node.meta.uid, node.names()), (1, 2), "{pair}: as it was");
    } else {
        assert_eq!((node.meta.uid, node.names()), (22, 1), "{pair}: its own");
    }
    assert_eq!(node.kind.is_directory(), arriving == "folder", "{pair}");
    // A hard link that lost its name leaves the target its other one.
    let names = if now == target { 2 } else { 1 };
    assert_eq!(tree.node(target).names(), names, "{pair}: the target");
    assert_eq!(
        tree.find(old).is_some(),
        old == now || old == target,
        "{pair}"
    );
    let change = match expected {
        "N" => -2, // the folder in it and the file in that
        "L" => -3, // and the folder itself
        "l" => -1,
        "n" if old == target => 1,
        _ => 0,
    };
    assert_eq!(Some(tree.len()), count.checked_add_signed(change), "{pair}");
    if standing == "folder" {
        let kept = tree.get(b"keep/linked").unwrap();
        let names = if expected == "m" { 2 } else { 1 };
        assert_eq!(tree.node(kept).names(), names, "{pair}: the link elsewhere");
        assert_eq!(tree.get(b"x/in/file").is_some(), expected == "m", "{pair}");
    }
}

#[test]
fn last_entry_wins_for_every_pair_of_kinds() {
    let mut pairs = 0;
    for (standing, row) in KINDS.into_iter().zip(TABLE) {
        for (arriving, expected) in KINDS.into_iter().zip(row.split(' ')) {
            check(standing, arriving, expected);
            pairs += 1;
        }
    }
    assert_eq!(pairs, 49);
}
