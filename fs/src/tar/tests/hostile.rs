use proptest::prelude::*;

use super::*;

/// Reads as far as it goes, with small limits; nothing may panic or run away.
fn read_hostile(bytes: &[u8]) {
    let options = Options {
        allow_missing_eof: true,
        concatenated: true,
        ..Options::default()
    };
    let mut reader = Reader::with_options(bytes, options);
    // A hostile map has many runs, but every entry needs a header.
    for _ in 0..=bytes.len() / 512 {
        let Ok(Some(_)) = reader.next_entry() else {
            return;
        };
        while let Ok(Some(_)) = reader.next_run() {}
    }
    panic!("more entries than headers");
}

/// Recomputes the checksums of what look like headers, so that mutations get through.
fn repair(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        if block[257..262] == *b"ustar" {
            let sealed = Raw(block.try_into().unwrap()).sealed();
            block.copy_from_slice(&sealed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_archives_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        shall_cut in prop::bool::weighted(0.2),
    ) {
        let mut bytes = of_every_kind();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        repair(&mut bytes);
        if shall_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read_hostile(&bytes);
    }

    #[test]
    fn shuffled_blocks_never_panic(order in prop::collection::vec(any::<prop::sample::Index>(), 0..60)) {
        let bytes = of_every_kind();
        let blocks = bytes.chunks_exact(512).collect::<Vec<_>>();
        let shuffled = order.iter().flat_map(|place| blocks[place.index(blocks.len())]);
        read_hostile(&shuffled.copied().collect::<Vec<_>>());
    }

    #[test]
    fn records_of_any_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200), flag in prop::sample::select(vec![b'x', b'g', b'L', b'K'])) {
        read_hostile(&archive(&[Raw::new(flag, "x").with(&body), file("a", b"")]));
    }

    #[test]
    fn values_of_any_bytes_never_panic(
        keyword in prop::sample::select(vec![
            "path", "size", "mtime", "uid", "SCHILY.acl.access", "SCHILY.fflags", "GNU.sparse.map",
            "GNU.sparse.size", "GNU.sparse.major", "LIBARCHIVE.xattr.user.a", "RHT.security.selinux",
            "SCHILY.xattr.system.posix_acl_access",
        ]),
        value in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "[0-9,.-]{0,30}".prop_map(String::into_bytes),
            "((user|group|mask|other):[a-z0-9]{0,3}:[rwx-]{0,4}(:[0-9]{1,11})?,?){0,5}".prop_map(String::into_bytes),
        ],
    ) {
        read_hostile(&archive(&[pax(&[(keyword, &value)]), file("a", b"body")]));
    }
}
