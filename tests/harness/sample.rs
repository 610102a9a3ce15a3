//! The sample rootfs of `testdata/`: small, of the project's own making, every kind of entry.
//!
//! Everything in it is something GNU tar 1.34 extracts as root, so that the image made of it can be
//! compared with what GNU tar makes; what GNU tar cannot do stands in tests of its own.

use crate::archive::{Archive, Dialect, Member};

/// A text that only replaced contents of the sample hold: it must be nowhere in an image.
pub const REPLACED_SECRET: &str = "REPLACED-SECRET-8d1f4c";

/// The entries of `srv/many`, enough for a folder with a hash tree.
pub const MANY: usize = 600;

/// The folders the archive does not list: their owner, mode and times are the reader's choice.
pub const IMPLIED: [&str; 2] = ["srv/implied", "srv/implied/deep"];

/// The sample's own time, 2025-01-02T03:04:05Z, which the newest ordinary files bear.
pub const TIME: i64 = 1_735_787_045;

/// Makes the archive; the same bytes every time.
#[must_use]
pub fn rootfs() -> Vec<u8> {
    let mut archive = Archive::new();
    archive.global(&[("comment", "sample rootfs of the forger project")]);
    archive.extend(&skeleton());
    archive.extend(&secrets(&REPLACED_SECRET.repeat(400)));
    archive.extend(&owners_and_modes());
    archive.extend(&times());
    archive.extend(&links());
    archive.extend(&devices());
    archive.extend(&attributes());
    archive.extend(&contents());
    archive.extend(&names());
    archive.extend(&dialects());
    archive.extend(&many());
    archive.extend(&late());
    archive.extend(&secrets("nothing to see here\n"));
    archive.finish()
}

fn file(name: &str, body: impl AsRef<[u8]>) -> Member {
    Member::file(name, body).mtime(TIME, 0)
}

fn dir(name: &str) -> Member {
    Member::dir(name).mtime(TIME - 3600, 250_000_000)
}

fn skeleton() -> Vec<Member> {
    let os_release = "ID=forger-sample\nNAME=\"forger sample\"\nVERSION_ID=1\n";
    let mut members = vec![dir("./").mode(0o755)];
    members.extend(
        [
            "dev", "etc", "home", "proc", "root", "run", "srv", "sys", "usr", "var",
        ]
        .map(dir),
    );
    members.extend(["usr/bin", "usr/lib", "usr/sbin", "usr/share", "var/lib"].map(dir));
    members.extend([
        dir("tmp").mode(0o1777),
        dir("boot").mode(0o700),
        // A merged /usr: what comes below the links belongs below their targets.
        Member::symlink("bin", "usr/bin").mtime(TIME, 0),
        Member::symlink("lib", "usr/lib").mtime(TIME, 0),
        file(
            "lib/libsample.so.1",
            b"\x7fELF sample, reached through lib\n",
        )
        .mode(0o755),
        file("bin/hello", "#!/bin/sh\necho hello\n").mode(0o755),
        file("etc/os-release", os_release),
        file("etc/hostname", "sample\n"),
        file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        file("etc/group", "root:x:0:\n"),
        file("etc/shadow", "root:*:20000:0:99999:7:::\n")
            .mode(0o640)
            .owner(0, 42),
    ]);
    members
}

/// Files that stand in the archive twice: the last one wins.
fn secrets(body: &str) -> Vec<Member> {
    vec![
        file("etc/secret", body).mode(0o600),
        file("root/small-secret", &body[..body.len().min(40)]).mode(0o600),
    ]
}

fn owners_and_modes() -> Vec<Member> {
    vec![
        file("usr/bin/setuid", "#!/bin/sh\n").mode(0o4755),
        file("usr/bin/setgid", "#!/bin/sh\n")
            .mode(0o2755)
            .owner(0, 5),
        file("usr/bin/both", "#!/bin/sh\n")
            .mode(0o6711)
            .owner(1000, 1000),
        file("srv/no-mode", "nobody may\n").mode(0),
        file("srv/sticky-file", "odd, but legal\n").mode(0o1644),
        dir("srv/setgid").mode(0o2775).owner(1000, 33),
        dir("srv/sticky-setgid").mode(0o3777),
        dir("srv/closed").mode(0),
        file("srv/id-65535", "").owner(65_535, 65_535),
        file("srv/id-65536", "").owner(65_536, 65_537),
        file("srv/id-huge", "").owner(4_294_967_294, 4_000_000_000),
    ]
}

fn times() -> Vec<Member> {
    let at = |name: &str, sec: i64, nsec: u32| file(name, "").mtime(sec, nsec);
    vec![
        dir("srv/times").mtime(1_000_000_000, 1),
        at("srv/times/earliest", -2_147_483_648, 0),
        at("srv/times/1960", -315_619_200, 876_543_211),
        at("srv/times/just-before-1970", -1, 999_999_999),
        at("srv/times/epoch", 0, 0),
        at("srv/times/nanoseconds", 1_600_000_000, 123_456_789),
        at("srv/times/last-of-31-bits", 2_147_483_647, 999_999_999),
        at("srv/times/first-of-32-bits", 2_147_483_648, 0),
        at("srv/times/2100", 4_102_444_800, 5),
        at("srv/times/latest", 15_032_385_534, 999_999_999),
    ]
}

fn links() -> Vec<Member> {
    let symlink = |name: &str, target: &str| Member::symlink(name, target).mtime(TIME, 7);
    vec![
        dir("srv/links"),
        file("srv/links/one", "a file of three names\n").mode(0o600),
        Member::hardlink("srv/links/two", "srv/links/one")
            .mode(0o600)
            .mtime(TIME, 0),
        Member::hardlink("srv/links/three", "./srv/links/two")
            .mode(0o600)
            .mtime(TIME, 0),
        symlink("srv/links/fast", "one"),
        symlink("srv/links/of-59-bytes", &"f".repeat(59)),
        symlink("srv/links/of-60-bytes", &"s".repeat(60)),
        symlink("srv/links/slow", &"slow/".repeat(100)),
        symlink("srv/links/of-4095-bytes", &"x".repeat(4095)),
        symlink("srv/links/absolute", "/etc/hostname"),
        symlink("srv/links/outside", "../../../../../etc/passwd"),
        symlink("srv/links/dangling", "there/is/nothing/here"),
        symlink("srv/links/self", "self"),
        Member::hardlink("srv/links/second-name-of-fast", "srv/links/fast").mtime(TIME, 7),
        Member::symlink(b"srv/links/raw", b"caf\xe9\xff").mtime(TIME, 0),
    ]
}

fn devices() -> Vec<Member> {
    vec![
        Member::chardev("dev/null", 1, 3).mode(0o666).mtime(TIME, 0),
        Member::hardlink("dev/null-too", "dev/null")
            .mode(0o666)
            .mtime(TIME, 0),
        Member::chardev("dev/console", 5, 1)
            .mode(0o600)
            .mtime(TIME, 0),
        Member::chardev("dev/wide", 300, 70_000)
            .mode(0o600)
            .mtime(TIME, 0),
        Member::blockdev("dev/loop0", 7, 0)
            .mode(0o660)
            .owner(0, 6)
            .mtime(TIME, 0),
        Member::blockdev("dev/widest", 4095, 1_048_575)
            .mode(0o660)
            .mtime(TIME, 0),
        Member::fifo("run/fifo")
            .mode(0o620)
            .owner(1, 5)
            .mtime(TIME, 99),
    ]
}

fn attributes() -> Vec<Member> {
    let acl = "user::rwx\nuser:1000:r-x\ngroup::r-x\ngroup:33:-w-\nmask::rwx\nother::r--\n";
    let default = "user::rwx\nuser:1000:rwx\ngroup::r-x\nmask::rwx\nother::---\n";
    // cap_net_raw=ep, revision 2 of the kernel's `vfs_cap_data`.
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let all_bytes: Vec<u8> = (0..=255).collect();
    let label = "system_u:object_r:etc_t:s0\0";
    vec![
        dir("srv/attributes").xattr("user.on-a-folder", "yes"),
        file("usr/bin/ping", "#!/bin/sh\n")
            .mode(0o755)
            .xattr("security.capability", capability),
        file("srv/attributes/text", "").xattr("user.comment", "a value"),
        file("srv/attributes/empty-value", "").xattr("user.empty", ""),
        file("srv/attributes/binary", "").xattr("user.binary", &all_bytes),
        file("srv/attributes/newline", "").xattr("user.lines", "one\n22 user.fake=two\n\0"),
        file("srv/attributes/several", "body\n")
            .xattr("user.b", "2")
            .xattr("user.a", "1")
            .xattr("user.longer-name", "3")
            .xattr("trusted.origin", "sample")
            .xattr("security.selinux", label),
        file("srv/attributes/in-a-block", "").xattr("user.large", "L".repeat(3000)),
        file("srv/attributes/same-block", "").xattr("user.large", "L".repeat(3000)),
        file("srv/attributes/both-places", "")
            .xattr("user.small", "s")
            .xattr("user.large", "M".repeat(2000)),
        Member::symlink("srv/attributes/link", "text")
            .mtime(TIME, 0)
            .xattr("security.selinux", label)
            .xattr("trusted.on-a-link", "yes"),
        Member::chardev("srv/attributes/device", 1, 5)
            .mtime(TIME, 0)
            .xattr("security.selinux", label),
        file("srv/attributes/acl", "")
            .mode(0o774)
            .acl("access", acl),
        dir("srv/attributes/default-acl")
            .mode(0o774)
            .owner(1000, 1000)
            .acl("access", acl)
            .acl("default", default),
        dir("srv/attributes/only-default")
            .mode(0o750)
            .acl("default", default),
    ]
}

fn contents() -> Vec<Member> {
    let block = |byte: u8| vec![byte; 4096];
    let pieces: Vec<(u64, u64)> = (0..30).map(|i| (i * 131_072, 4096)).collect();
    let body: Vec<u8> = (1..=30).flat_map(block).collect();
    let end = 64 << 20;
    vec![
        dir("srv/contents"),
        file("srv/contents/empty", ""),
        file("srv/contents/one-byte", "x"),
        file("srv/contents/one-block", block(b'b')),
        file(
            "srv/contents/block-and-byte",
            [block(b'b'), b"c".to_vec()].concat(),
        ),
        file("srv/contents/noise", noise(40_000)),
        file("srv/contents/zeros", vec![0; 200_000]),
        file(
            "srv/contents/zeros-amid",
            [noise(5000), vec![0; 150_000], noise(700)].concat(),
        ),
        Member::gnu_sparse(
            b"srv/contents/sparse-gnu",
            &[pieces, vec![(4_000_000, 0)]].concat(),
            body,
            4_000_000,
        )
        .mtime(TIME, 0),
        Member::pax_sparse(
            b"srv/contents/sparse-pax",
            &[(0, 512), (1 << 20, 4096), (end, 0)],
            &[vec![b'a'; 512], block(b'b')].concat(),
            end,
        )
        .mtime(TIME, 123),
    ]
}

fn names() -> Vec<Member> {
    let long = "n".repeat(255);
    let path = format!("srv/names/{long}/{}", "p".repeat(200));
    vec![
        dir("srv/names"),
        file(
            &format!("srv/names/{}", "u".repeat(90)),
            "name of 100 bytes\n",
        ),
        file(
            &format!("srv/names/{}", "v".repeat(91)),
            "101 bytes, in the prefix form\n",
        ),
        dir(&format!("srv/names/{long}")),
        file(&path, "a path of more than 256 bytes\n"),
        Member::file(b"srv/names/latin-caf\xe9", "not UTF-8\n").mtime(TIME, 0),
        Member::file(b"srv/names/\xff\xfe\x01", "not text at all\n").mtime(TIME, 0),
        file("srv/names/grüße-世界", "UTF-8\n"),
        file("srv/names/ blank and\nnewline ", "unusual\n"),
        file("srv/names/back\\slash", "unusual\n"),
        file(
            "srv/names/.wh.not-a-whiteout",
            "an ordinary file in a plain archive\n",
        ),
        file("srv/names/...", "three dots\n"),
        file("/srv/names/from-the-root", "the leading slash is dropped\n"),
        file("./srv/./names//doubled", "so are these\n"),
    ]
}

/// The same things in other dialects of tar.
fn dialects() -> Vec<Member> {
    let gnu = |member: Member| member.dialect(Dialect::Gnu);
    let long = format!("srv/dialects/{}", "g".repeat(150));
    vec![
        dir("srv/dialects"),
        file("srv/dialects/v7", "no magic\n").dialect(Dialect::V7),
        Member::new(0, "srv/dialects/v7-nul")
            .body("typeflag 0\n")
            .dialect(Dialect::V7),
        Member::new(b'7', "srv/dialects/contiguous").body("a plain file today\n"),
        gnu(file(&long, "a long name in the GNU form\n")),
        gnu(Member::symlink("srv/dialects/gnu-link", "k".repeat(300))).mtime(TIME, 0),
        gnu(file("srv/dialects/base-256", "large ids, early time\n"))
            .owner(3_000_000_000, 2_097_152)
            .mtime(-1_000_000, 0),
    ]
}

fn many() -> Vec<Member> {
    let mut members = vec![dir("srv/many")];
    members.extend((0..MANY).map(|i| {
        let name = format!("srv/many/entry-{i:04}-{}", "m".repeat(i % 40));
        file(
            &name,
            if i % 50 == 0 {
                format!("{i}\n")
            } else {
                String::new()
            },
        )
    }));
    members
}

/// A folder whose own entry comes after its members, and folders that have none.
fn late() -> Vec<Member> {
    vec![
        file("srv/late/member", "came before its folder\n"),
        Member::dir("srv/late")
            .mode(0o2750)
            .owner(7, 8)
            .mtime(TIME - 99, 9)
            .xattr("user.late", "y"),
        file("srv/implied/deep/member", "its folders have no entries\n"),
        Member::dir("srv").mode(0o751).mtime(TIME, 42),
    ]
}

/// Bytes that do not compress and never change (an xorshift generator).
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[7]
    };
    std::iter::repeat_with(next).take(count).collect()
}
