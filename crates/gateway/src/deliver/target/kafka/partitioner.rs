//! Which partition an event goes to: as the Java client has it, so that whoever joins topics finds the same keys in the
//! same partitions.

/// The partition of a key among `count`, which is more than zero.
pub(super) fn partition(key: &[u8], count: usize) -> usize {
    // The sign is masked, not inverted.
    let positive = murmur2(key) & 0x7fff_ffff;
    positive as usize % count.max(1)
}

/// `MurmurHash2` with the seed of Kafka.
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // Kafka counts in signed 32 bits, too.
    #[expect(clippy::cast_possible_truncation, reason = "the hash is made of the low bits")]
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::{murmur2, partition};

    #[test]
    fn the_hashes_are_those_of_the_java_client() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_negative_hash_loses_its_sign() {
        assert_eq!(partition(b"21", 3), ((-973_932_308_i32 & 0x7fff_ffff) % 3) as usize);
        assert_eq!(partition(b"21", 1), 0);
        assert_eq!(partition(b"", 0), 0);
    }
}
