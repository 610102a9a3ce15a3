//! Directory hashes: legacy, half MD4 and TEA, each over signed or unsigned characters.
//!
//! See [Hash Tree Directories](https://docs.kernel.org/filesystems/ext4/dynamic.html#hash-tree-directories).
//! A name gives a major hash, whose lowest bit is always 0 (it marks continuation in the tree), and a
//! minor hash, which only orders names within a block.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

/// The hash that stands for "beyond the end" and is given to no name.
const EOF: u32 = 0x7fff_ffff << 1;
/// Initial state of half MD4 and TEA where the filesystem has no seed.
const DEFAULT_SEED: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// A hash function, as `s_def_hash_version` and the root of a hash tree name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HashVersion {
    function: Function,
    signed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Legacy,
    HalfMd4,
    Tea,
}

/// The hash of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hash {
    /// What the tree is ordered by; the lowest bit is 0.
    pub(crate) major: u32,
    /// What orders equal major hashes.
    pub(crate) minor: u32,
}

impl HashVersion {
    /// Half MD4 over signed characters, which the writer uses always.
    pub(crate) const HALF_MD4: Self = Self {
        function: Function::HalfMd4,
        signed: true,
    };

    /// Returns the function of a version number: 0 to 2 follow the superblock's flag for
    /// signedness, 3 to 5 are unsigned always. SipHash (6) needs an encryption key.
    pub(crate) fn new(version: u8, unsigned_flag: bool) -> Option<Self> {
        let function = match version {
            0 | 3 => Function::Legacy,
            1 | 4 => Function::HalfMd4,
            2 | 5 => Function::Tea,
            _ => return None,
        };
        let signed = version < 3 && !unsigned_flag;
        Some(Self { function, signed })
    }

    /// Returns the hash of a name.
    pub(crate) fn hash(self, name: &[u8], seed: &[u8; 16]) -> Hash {
        let (major, minor) = match self.function {
            Function::Legacy => (self.legacy(name), 0),
            Function::HalfMd4 => {
                let mut state = initial_state(seed);
                for rest in windows(name, 32) {
                    half_md4(&mut state, &self.words::<8>(rest));
                }
                let [_, major, minor, _] = state;
                (major, minor)
            }
            Function::Tea => {
                let mut state = initial_state(seed);
                for rest in windows(name, 16) {
                    tea(&mut state, &self.words::<4>(rest));
                }
                let [major, minor, _, _] = state;
                (major, minor)
            }
        };
        let major = match major & !1 {
            EOF => 0x7fff_fffe << 1,
            other => other,
        };
        Hash { major, minor }
    }

    /// Widens a character.
    fn char(self, byte: u8) -> u32 {
        if self.signed {
            i32::from(byte.cast_signed()).cast_unsigned()
        } else {
            byte.into()
        }
    }

    /// The hash of the first ext3.
    fn legacy(self, name: &[u8]) -> u32 {
        let (mut hash, mut before) = (0x12a3_fe2d_u32, 0x37ab_e8f9_u32);
        for byte in name {
            let product = self.char(*byte).wrapping_mul(7_152_373);
            let next = before.wrapping_add(hash ^ product);
            let next = if next & 0x8000_0000 == 0 {
                next
            } else {
                next.wrapping_sub(0x7fff_ffff)
            };
            before = hash;
            hash = next;
        }
        hash << 1
    }

    /// Packs the start of `rest` into words, first character highest; what is missing is filled
    /// with the length.
    fn words<const N: usize>(self, rest: &[u8]) -> [u32; N] {
        let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let pad = length | length << 8;
        let pad = pad | pad << 16;
        let mut words = [pad; N];
        for (word, chars) in words.iter_mut().zip(rest.chunks(4)) {
            *word = chars
                .iter()
                .fold(pad, |word, byte| self.char(*byte).wrapping_add(word << 8));
        }
        words
    }
}

/// Returns what is left of the name at the start of each step of `size` bytes; an empty name takes no
/// step.
fn windows(name: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    (0..name.len())
        .step_by(size)
        .filter_map(move |start| name.get(start..))
}

fn initial_state(seed: &[u8; 16]) -> [u32; 4] {
    if seed == &[0; 16] {
        return DEFAULT_SEED;
    }
    zerocopy::transmute!(*seed)
}

/// The compression function of MD4, cut to three rounds of eight steps.
fn half_md4(state: &mut [u32; 4], input: &[u32; 8]) {
    const K2: u32 = 0x5a82_7999;
    const K3: u32 = 0x6ed9_eba1;
    let f = |x: u32, y: u32, z: u32| z ^ (x & (y ^ z));
    let g = |x: u32, y: u32, z: u32| (x & y).wrapping_add((x ^ y) & z);
    let h = |x: u32, y: u32, z: u32| x ^ y ^ z;
    let [i0, i1, i2, i3, i4, i5, i6, i7] = *input;
    let [mut a, mut b, mut c, mut d] = *state;
    let step = |mix: u32, a: u32, word: u32, shift: u32| {
        a.wrapping_add(mix).wrapping_add(word).rotate_left(shift)
    };
    // A step replaces a; four steps replace all and leave the names where they were.
    for [w, x, y, z] in [[i0, i1, i2, i3], [i4, i5, i6, i7]] {
        a = step(f(b, c, d), a, w, 3);
        d = step(f(a, b, c), d, x, 7);
        c = step(f(d, a, b), c, y, 11);
        b = step(f(c, d, a), b, z, 19);
    }
    for [w, x, y, z] in [[i1, i3, i5, i7], [i0, i2, i4, i6]] {
        a = step(g(b, c, d), a, w.wrapping_add(K2), 3);
        d = step(g(a, b, c), d, x.wrapping_add(K2), 5);
        c = step(g(d, a, b), c, y.wrapping_add(K2), 9);
        b = step(g(c, d, a), b, z.wrapping_add(K2), 13);
    }
    for [w, x, y, z] in [[i3, i7, i2, i6], [i1, i5, i0, i4]] {
        a = step(h(b, c, d), a, w.wrapping_add(K3), 3);
        d = step(h(a, b, c), d, x.wrapping_add(K3), 9);
        c = step(h(d, a, b), c, y.wrapping_add(K3), 11);
        b = step(h(c, d, a), b, z.wrapping_add(K3), 15);
    }
    for (word, mixed) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(mixed);
    }
}

/// Sixteen rounds of the Tiny Encryption Algorithm; the name is the key.
fn tea(state: &mut [u32; 4], input: &[u32; 4]) {
    const DELTA: u32 = 0x9e37_79b9;
    let [a, b, c, d] = *input;
    let [mut left, mut right, _, _] = *state;
    let mut sum = 0_u32;
    for _ in 0..16 {
        sum = sum.wrapping_add(DELTA);
        left = left.wrapping_add(
            (right << 4).wrapping_add(a) ^ right.wrapping_add(sum) ^ (right >> 5).wrapping_add(b),
        );
        right = right.wrapping_add(
            (left << 4).wrapping_add(c) ^ left.wrapping_add(sum) ^ (left >> 5).wrapping_add(d),
        );
    }
    for (word, mixed) in state.iter_mut().zip([left, right]) {
        *word = word.wrapping_add(mixed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u8; 16] = *b"\x11\x11\x11\x11\x22\x22\x33\x33\x44\x44\x55\x55\x55\x55\x55\x55";

    /// `debugfs -R "dx_hash -s 11111111-2222-3333-4444-555555555555 -h VERSION NAME"`.
    #[test]
    fn hashes_equal_those_of_debugfs() {
        let long = [0xe9; 255];
        let names: [&[u8]; 4] = [
            b"hello",
            b"file-name-number-1",
            b"caf\xc3\xa9-\xff\xfe",
            &long,
        ];
        let expected: [(u8, [(u32, u32); 4]); 6] = [
            (
                0,
                [
                    (0x3225_2546, 0),
                    (0xbbb4_29dc, 0),
                    (0xcde4_cb70, 0),
                    (0x9ecd_ac8a, 0),
                ],
            ),
            (
                1,
                [
                    (0xe4a9_77aa, 0xb8f2_ce63),
                    (0x103a_e586, 0xa8b3_d77a),
                    (0xeba0_09f0, 0xeed6_48ac),
                    (0xdc1b_701a, 0x87c7_68e8),
                ],
            ),
            (
                2,
                [
                    (0x4ad5_910a, 0x413e_cd8c),
                    (0x0f39_2d04, 0x129f_d635),
                    (0x7d78_68b4, 0x7ae0_adb1),
                    (0x3f85_a688, 0xa6c2_9f75),
                ],
            ),
            (
                3,
                [
                    (0x3225_2546, 0),
                    (0xbbb4_29dc, 0),
                    (0x5bd8_bb74, 0),
                    (0x76e0_988c, 0),
                ],
            ),
            (
                4,
                [
                    (0xe4a9_77aa, 0xb8f2_ce63),
                    (0x103a_e586, 0xa8b3_d77a),
                    (0xfb09_77c4, 0x655d_2c0e),
                    (0x78b5_cdf6, 0x68a3_3809),
                ],
            ),
            (
                5,
                [
                    (0x4ad5_910a, 0x413e_cd8c),
                    (0x0f39_2d04, 0x129f_d635),
                    (0xfae0_f092, 0x7a3f_d56a),
                    (0x7398_bfa6, 0x3613_1283),
                ],
            ),
        ];
        for (version, hashes) in expected {
            let function = HashVersion::new(version, false).unwrap();
            for (name, (major, minor)) in names.iter().zip(hashes) {
                assert_eq!(
                    function.hash(name, &SEED),
                    Hash { major, minor },
                    "version {version}, name {name:?}"
                );
            }
        }
    }

    #[test]
    fn zero_seed_means_the_default_state() {
        let hash = |version| {
            HashVersion::new(version, false)
                .unwrap()
                .hash(b"hello", &[0; 16])
        };
        assert_eq!(hash(1).major, 0x1746_da32);
        assert_eq!(hash(1).minor, 0x4200_13b5);
        assert_eq!(hash(2).major, 0x6f5b_b1a8);
    }

    #[test]
    fn unsigned_flag_selects_unsigned_characters() {
        let name = b"\xff";
        let signed = HashVersion::new(1, false).unwrap().hash(name, &SEED);
        let flagged = HashVersion::new(1, true).unwrap().hash(name, &SEED);
        assert_ne!(signed, flagged);
        assert_eq!(
            flagged,
            HashVersion::new(4, false).unwrap().hash(name, &SEED)
        );
    }

    #[test]
    fn unknown_versions_are_refused() {
        assert_eq!(HashVersion::new(6, false), None);
    }

    /// A name of 31 characters is padded by its length, as if it had one more character before the
    /// last three.
    #[test]
    fn padded_name_collides_with_the_one_that_spells_the_padding() {
        let short = b"aaaabbbbccccddddeeeeffffgggghij";
        let long = b"aaaabbbbccccddddeeeeffffgggg\x1fhij";
        let hash = |name| HashVersion::HALF_MD4.hash(name, &SEED);
        assert_eq!(hash(short.as_slice()), hash(long.as_slice()));
    }
}
