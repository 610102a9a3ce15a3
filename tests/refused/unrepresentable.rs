//! What ext4 cannot hold: refused, or left out on request.

use forger_tests::archive::Member;
use forger_tests::forger::forger;
use forger_tests::judge::assert_clean;
use forger_tests::need;
use forger_tests::scratch::Scratch;

use super::{assert_refused, flat, member, refusal};

/// What ext4 cannot hold, and the KIND that lets it be left out.
fn unrepresentable() -> Vec<(&'static str, &'static str, Member)> {
    let file = || Member::file("bad", "content");
    let acl = "user::rw-,user:alice:rw-,group::r--,mask::rw-,other::r--";
    vec![
        (
            "an attribute of unknown kind",
            "xattrs",
            file().xattr("weird.name", "value"),
        ),
        (
            "an attribute without a prefix",
            "xattrs",
            file().xattr("noprefix", "value"),
        ),
        (
            "an attribute larger than a block",
            "xattrs",
            file().xattr("user.big", vec![b'v'; 5000]),
        ),
        (
            "attributes that do not fit together",
            "xattrs",
            (0..40).fold(file(), |f, i| {
                f.xattr(&format!("user.{i}"), vec![b'v'; 200])
            }),
        ),
        (
            "a wide major number",
            "devices",
            Member::chardev("bad", 4096, 0),
        ),
        (
            "a wide minor number",
            "devices",
            Member::blockdev("bad", 1, 1 << 20),
        ),
        (
            "a time after 2446",
            "times",
            file().mtime(15_032_385_536, 0),
        ),
        (
            "a time before 1901",
            "times",
            file().mtime(-2_147_483_649, 0),
        ),
        (
            "a time that e2fsck takes for one before 1970",
            "times",
            file().mtime(10_737_418_240, 0),
        ),
        (
            "the last of the times that e2fsck misreads",
            "times",
            file().mtime(12_884_901_887, 999_999_999),
        ),
        ("an ACL with a name", "acls", file().acl("access", acl)),
        (
            "an unknown inode flag",
            "flags",
            file().record("SCHILY.fflags", "uchg"),
        ),
    ]
}

#[test]
fn what_ext4_cannot_hold_is_refused_with_the_entry() {
    for (title, kind, bad) in unrepresentable() {
        let case = member("bad", &bad);
        assert_refused(title, &case);
        let said = refusal(&case.archive);
        assert!(
            said.contains(&format!("--ignore {kind}")),
            "{title}: no remedy in: {said}"
        );
    }
}

#[test]
fn what_ext4_cannot_hold_is_left_out_with_a_note_on_request() {
    need!("e2fsck");
    for (title, kind, bad) in unrepresentable() {
        let scratch = Scratch::new();
        let tar = scratch.file("in.tar", member("bad", &bad).archive);
        let image = scratch.path("out.ext4");
        let run = forger()
            .arg("mkfs")
            .arg(&tar)
            .arg(&image)
            .args(["--ignore", kind]);
        let output = run.ok();
        assert!(flat(&output).contains("bad"), "{title}: {output}");
        assert_clean(&image);
    }
}
