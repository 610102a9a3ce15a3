//! Generated trees for property tests, with everything a tree can hold.

use forger_block::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{Content, Device, InodeFlags, Kind, Meta, Policy, Time, Tree, Xattrs};

/// The times that ext4 can hold, in seconds: 1901-12-13 to 2446-05-10.
const TIMES: std::ops::RangeInclusive<i64> = -(1 << 31)..=(1 << 34) - (1 << 31) - 1;
/// The first of the 2^31 seconds that images refuse.
const MISREAD: i64 = 5 << 31;

/// What generated trees may hold.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many entries at most.
    pub entries: usize,
    /// How many bytes of data a run of a content has at most.
    pub data: usize,
    /// How many bytes a hole has at most; 0 for contents without holes.
    pub hole: u64,
    /// Whether there are sockets, which no tar can hold.
    pub sockets: bool,
    /// Whether there are atimes, ctimes and crtimes.
    pub all_times: bool,
    /// Whether there are inode flags and project ids.
    pub flags: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            entries: 24,
            data: 9000,
            hole: 1 << 32,
            sockets: true,
            all_times: true,
            flags: true,
        }
    }
}

/// Makes trees: names of raw bytes, all kinds, hard links, holes, owners up to 2^32 - 1, all modes,
/// times in ns from 1901 to 2446, attributes of all prefixes, ACLs, devices of all numbers.
///
/// Every tree can be represented in ext4; contents are inline.
pub fn tree(shape: Shape) -> impl Strategy<Value = Tree<Content>> {
    let root = option::of(meta(shape, Subject::Folder));
    (root, vec(entry(shape), 0..=shape.entries)).prop_map(|(root, entries)| {
        let mut tree = Tree::new(Meta {
            mode: 0o755,
            ..Meta::default()
        });
        let policy = Policy::default();
        if let Some(meta) = root {
            let put = tree.put(b".", meta, Kind::directory(), policy);
            put.expect("the root can be a folder");
        }
        let mut files = Vec::<Vec<u8>>::new();
        for entry in entries {
            // What has no place, below a file for instance, is left out.
            match entry.what {
                What::Node(meta, kind) => {
                    let linkable = !kind.is_directory();
                    let put = tree.put(&entry.path, meta, kind, policy);
                    if put.is_ok() && linkable {
                        files.push(entry.path);
                    }
                }
                What::Link(_) if files.is_empty() => {}
                What::Link(target) => {
                    let target = target.get(&files);
                    if tree.get(target).is_some() {
                        let _refused = tree.link(&entry.path, target, None);
                    }
                }
            }
        }
        tree
    })
}

#[derive(Clone, Debug)]
struct Entry {
    path: Vec<u8>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Node(Meta, Kind<Content>),
    Link(Index),
}

/// What attributes are for: not every kind of node can have all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    File,
    Folder,
    Symlink,
    Special,
}

fn entry(shape: Shape) -> impl Strategy<Value = Entry> {
    let node = prop_oneof![
        4 => (meta(shape, Subject::File), content(shape).prop_map(Kind::File)),
        3 => meta(shape, Subject::Folder).prop_map(|meta| (meta, Kind::directory())),
        2 => (meta(shape, Subject::Symlink), symlink().prop_map(|to| Kind::Symlink(to.into()))),
        1 => (meta(shape, Subject::Special), special(shape.sockets)),
    ];
    let what = prop_oneof![
        9 => node.prop_map(|(meta, kind)| What::Node(meta, kind)),
        1 => any::<Index>().prop_map(What::Link),
    ];
    (path(), what).prop_map(|(path, what)| Entry { path, what })
}

/// Makes paths of few different components, so that entries meet.
fn path() -> impl Strategy<Value = Vec<u8>> {
    let known = select(vec![
        b"a".to_vec(),
        b"b".to_vec(),
        b"lost+found".to_vec(),
        b".wh.a".to_vec(),
        b"new\nline, \x1b[2J \\ \"".to_vec(),
        "größe".as_bytes().to_vec(),
        b"\xff\xfe\x80".to_vec(),
        vec![b'n'; 255],
    ]);
    let component = prop_oneof![6 => known, 1 => name()];
    vec(component, 1..=4).prop_map(|components| components.join(&b'/'))
}

/// Makes components of any bytes.
fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..=40).prop_map(|mut name| {
        for byte in &mut name {
            if *byte == 0 || *byte == b'/' {
                *byte = b'_';
            }
        }
        if name.iter().all(|&byte| byte == b'.') {
            name.push(b'_');
        }
        name
    })
}

/// Makes symlink targets: short and long, with what fits an inode (59 bytes) and what does not.
fn symlink() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![1usize..=8, 58usize..=61, Just(4095usize)];
    prop_oneof![
        select(vec![&b"a"[..], b"/", b"../b", b"/a/b", b"no/such", b"."]).prop_map(<[u8]>::to_vec),
        (len, 1u8..=255).prop_map(|(len, byte)| vec![byte; len]),
    ]
}

fn special(sockets: bool) -> impl Strategy<Value = Kind<Content>> {
    let last = if sockets { Kind::Socket } else { Kind::Fifo };
    prop_oneof![
        device().prop_map(Kind::CharDevice),
        device().prop_map(Kind::BlockDevice),
        Just(Kind::Fifo),
        Just(last),
    ]
}

fn device() -> impl Strategy<Value = Device> {
    let major = prop_oneof![0u32..=10, 0u32..1 << 12];
    let minor = prop_oneof![0u32..=300, 0u32..1 << 20];
    (major, minor).prop_map(|(major, minor)| Device { major, minor })
}

/// Makes contents of runs whose ends lie at and beside block ends.
fn content(shape: Shape) -> impl Strategy<Value = Content> {
    let near = |most: u64| {
        let block = select(vec![1u64, 4095, 4096, 4097, 65536]);
        prop_oneof![block, 1..=most.max(1)].prop_map(move |len| len.min(most))
    };
    let data = (near(shape.data as u64), 1u8..=255, any::<bool>());
    let data = data.prop_map(|(len, byte, zeros)| {
        let len = usize::try_from(len).expect("within shape.data");
        Run::Data(vec![if zeros { 0 } else { byte }; len].into())
    });
    let hole = near(shape.hole).prop_map(Run::Hole);
    vec(prop_oneof![2 => data, 1 => hole], 0..=4).prop_map(|runs| {
        let mut content = Content::new();
        for run in runs {
            match run {
                Run::Data(bytes) => content.push_inline(bytes),
                Run::Hole(len) => content.push_hole(len),
            }
        }
        content
    })
}

#[derive(Clone, Debug)]
enum Run {
    Data(Bytes),
    Hole(u64),
}

fn meta(shape: Shape, subject: Subject) -> impl Strategy<Value = Meta> {
    let other = || share(0.3, shape.all_times, time());
    let times = (option::weighted(0.9, time()), other(), other(), other());
    let owners = (id(), id());
    let flags = (flags(shape.flags, subject), project(shape.flags));
    (0u16..=0o7777, owners, times, flags, xattrs(subject)).prop_map(
        |(mode, (uid, gid), (mtime, atime, ctime, crtime), (flags, project), xattrs)| Meta {
            mode,
            uid,
            gid,
            mtime,
            atime,
            ctime,
            crtime,
            flags,
            project,
            xattrs,
        },
    )
}

/// Makes something in a share of cases, where it is wanted at all: proptest takes no share of nothing.
fn share<S: Strategy>(
    share: f64,
    wanted: bool,
    what: S,
) -> impl Strategy<Value = Option<S::Value>> {
    option::weighted(share, what).prop_map(move |made| made.filter(|_| wanted))
}

fn id() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0u32..=1000,
        1 => select(vec![65_535, 65_536, 2_097_152, u32::MAX - 1, u32::MAX]),
        1 => any::<u32>(),
    ]
}

fn time() -> impl Strategy<Value = Time> {
    let ends = select(vec![
        *TIMES.start(),
        -1,
        0,
        (1 << 31) - 1,
        1 << 31,
        *TIMES.end(),
    ]);
    // e2fsck takes the times in between for ones before 1970, so that images refuse them.
    let legal = prop_oneof![
        *TIMES.start()..=MISREAD - 1,
        (MISREAD + (1 << 31))..=*TIMES.end()
    ];
    let sec = prop_oneof![1 => ends, 2 => legal];
    let nsec = prop_oneof![Just(0u32), 0u32..1_000_000_000];
    (sec, nsec).prop_map(|(sec, nsec)| Time { sec, nsec })
}

fn flags(with: bool, subject: Subject) -> impl Strategy<Value = InodeFlags> {
    let possible = match subject {
        Subject::File => vec![
            InodeFlags::SYNC,
            InodeFlags::IMMUTABLE,
            InodeFlags::APPEND,
            InodeFlags::NODUMP,
            InodeFlags::NOATIME,
        ],
        Subject::Folder => vec![
            InodeFlags::DIRSYNC,
            InodeFlags::TOPDIR,
            InodeFlags::NODUMP,
            InodeFlags::IMMUTABLE,
        ],
        Subject::Symlink | Subject::Special => vec![0],
    };
    let set = vec(select(possible), 1..=2);
    share(0.1, with, set).prop_map(|set| {
        let set = set.unwrap_or_default();
        InodeFlags(set.into_iter().fold(0, |all, flag| all | flag))
    })
}

fn project(with: bool) -> impl Strategy<Value = u32> {
    share(0.05, with, id()).prop_map(Option::unwrap_or_default)
}

/// Makes attributes that fit an inode and one block of 4 KiB together.
fn xattrs(subject: Subject) -> impl Strategy<Value = Xattrs> {
    let prefixes = match subject {
        Subject::File | Subject::Folder => vec!["user.", "trusted.", "security."],
        Subject::Symlink | Subject::Special => vec!["trusted.", "security."],
    };
    let name =
        (select(prefixes), "[a-z.é]{1,20}").prop_map(|(prefix, rest)| prefix.to_owned() + &rest);
    let len = prop_oneof![6 => 0usize..=40, 2 => 41usize..=300, 1 => 301usize..=700];
    let value = len.prop_flat_map(|len| vec(any::<u8>(), len));
    let named = btree_map(name, value, 0..=4);
    let count = match subject {
        Subject::Symlink => 0,
        Subject::File | Subject::Special => 1,
        Subject::Folder => 2,
    };
    let acls = option::weighted(0.2, vec(acl(), 0..=count));
    (option::weighted(0.3, named), acls).prop_map(|(named, acls)| {
        let named = named.unwrap_or_default().into_iter();
        let mut all: Xattrs = named
            .map(|(name, value)| (name.into_bytes().into(), value.into()))
            .collect();
        let names = ["system.posix_acl_access", "system.posix_acl_default"];
        for (name, acl) in names.into_iter().zip(acls.unwrap_or_default()) {
            all.insert(name.as_bytes().into(), acl.into());
        }
        all
    })
}

/// Makes ACLs in the kernel's attribute form.
fn acl() -> impl Strategy<Value = Vec<u8>> {
    const VERSION: u32 = 2;
    const USER_OBJ: u16 = 1;
    const USER: u16 = 2;
    const GROUP_OBJ: u16 = 4;
    const GROUP: u16 = 8;
    const MASK: u16 = 16;
    const OTHER: u16 = 32;
    let named = || btree_map(0u32..u32::MAX, 0u16..8, 0..=3);
    let fixed = [0u16..8, 0u16..8, 0u16..8, 0u16..8];
    (named(), named(), fixed).prop_map(|(users, groups, [owner, group, mask, other])| {
        let mut value = VERSION.to_le_bytes().to_vec();
        let mut push = |tag: u16, permissions: u16, id: u32| {
            value.extend(tag.to_le_bytes());
            value.extend(permissions.to_le_bytes());
            value.extend(id.to_le_bytes());
        };
        let masked = !users.is_empty() || !groups.is_empty();
        push(USER_OBJ, owner, u32::MAX);
        users
            .into_iter()
            .for_each(|(id, bits)| push(USER, bits, id));
        push(GROUP_OBJ, group, u32::MAX);
        groups
            .into_iter()
            .for_each(|(id, bits)| push(GROUP, bits, id));
        if masked {
            push(MASK, mask, u32::MAX);
        }
        push(OTHER, other, u32::MAX);
        value
    })
}
