//! Numbers that decide: the sticky hash, and the draws of one query.
//!
//! Sticky means forever (DESIGN, decision 8). The hash below is part of the product: it is the same on
//! every node, version and restart, and `tests/data/sticky.txt` pins it. In words:
//!
//! - `mix` is the finalizer of SplitMix64 (Steele, Lea, Flood 2014; Stafford's variant 13).
//! - A *salt* is SipHash-2-4 of a text (`drain`, the PoP; `split`, the pool, the PoP, the stack; `sticky`,
//!   the record's name; `answer`, the pool, the PoP; `group`, its name), each part ended by a zero byte,
//!   keyed with the configured seed and zero. What a sticky filter draws with is the salt of the record
//!   xor that of the answer or group.
//! - A *client key* is the client's network, cut to the sticky prefix and left-aligned in 128 bits,
//!   folded as `mix(high) + low`, with the family (4 or 6) added before the mix.
//! - A *draw* is `mix(salt ^ mix(client key))`.
//! - A percentage p takes a client out when `draw * 100 / 2^64 < p`: growing it only adds clients.
//! - A weighted choice takes the smallest `-log2(draw(candidate)) / weight`, where the logarithm is a
//!   table of 256 steps with linear interpolation in whole numbers: no platform rounds it another way.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// The prefix a sticky choice looks at for IPv4, in bits.
pub const STICKY_PREFIX_V4: u8 = 24;
/// The prefix a sticky choice looks at for IPv6, in bits.
pub const STICKY_PREFIX_V6: u8 = 56;

/// The sticky prefix of the address's family, in bits.
#[inline]
pub fn sticky_prefix(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => STICKY_PREFIX_V4,
        IpAddr::V6(_) => STICKY_PREFIX_V6,
    }
}

/// SplitMix64's finalizer: a bijection of 64 bits in which every bit depends on every bit.
#[inline]
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

/// A salt from the configured seed and a text in parts.
pub fn salt(seed: u64, parts: &[&str]) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(seed, 0);
    for part in parts {
        hasher.write(part.as_bytes());
        hasher.write(&[0]);
    }
    hasher.finish()
}

/// The key of a client's network: its address cut to `prefix_len` bits.
#[inline]
pub fn client_key(address: IpAddr, prefix_len: u8) -> u64 {
    let (bits, family) = match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 4),
        IpAddr::V6(v6) => (u128::from(v6), 6),
    };
    let cut = if prefix_len == 0 { 0 } else { bits & u128::MAX << (128 - u32::from(prefix_len)) };
    mix(((cut >> 64) as u64).wrapping_add(family)).wrapping_add(cut as u64)
}

/// A client's number for a salt, uniform over 64 bits.
#[inline]
pub fn draw(salt: u64, client_key: u64) -> u64 {
    mix(salt ^ mix(client_key))
}

/// Whether a draw falls under a percentage.
#[inline]
pub fn under_percent(draw: u64, percent: u8) -> bool {
    ((u128::from(draw) * 100) >> 64) < u128::from(percent)
}

/// A number in 0..1 from 64 uniform bits.
#[inline]
pub fn unit(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1u64 << 53) as f64
}

/// The rank of a weighted candidate, smallest first: `-log2(draw / 2^64) / weight`.
/// `weight` must be above 0.
#[inline]
pub fn weighted_rank(draw: u64, weight: f64) -> f64 {
    minus_log2(draw) as f64 / weight
}

/// `-log2((draw + 1) / 2^64)` in units of 2^-32, by table and whole numbers.
#[inline]
fn minus_log2(draw: u64) -> u64 {
    let x = draw | 1;
    let zeros = x.leading_zeros();
    let normal = x << zeros; // The leading one is bit 63.
    let step = (normal >> 55 & 0xFF) as usize;
    let within = normal >> 23 & 0xFFFF_FFFF;
    let (low, high) = (LOG2[step], LOG2[step + 1]);
    let fraction = low + (((high - low) * within) >> 32);
    ((u64::from(zeros) + 1) << 32) - fraction
}

/// `log2(1 + step / 256)` in units of 2^-32.
static LOG2: [u64; 257] = log2_table();

const fn log2_table() -> [u64; 257] {
    let mut table = [0; 257];
    let mut step = 0;
    while step < 256 {
        // Binary logarithm by repeated squaring of 1 + step / 256 in units of 2^-63.
        let mut x = (256 + step as u128) << 55;
        let mut log = 0u64;
        let mut bit = 0;
        while bit < 32 {
            x = (x * x) >> 63;
            log <<= 1;
            if x >> 64 == 1 {
                log |= 1;
                x >>= 1;
            }
            bit += 1;
        }
        table[step] = log;
        step += 1;
    }
    table[256] = 1 << 32;
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_one() {
        for draw in [0, 1, 2, 3, 1 << 20, 1 << 63, u64::MAX / 3, u64::MAX] {
            let exact = 64.0 - ((draw | 1) as f64).log2();
            let ours = minus_log2(draw) as f64 / (1u64 << 32) as f64;
            assert!((exact - ours).abs() < 4e-6, "{draw}: {exact} {ours}");
        }
    }

    #[test]
    fn percentages_nest_and_hold() {
        let salt = salt(1, &["drain", "eu-west-1"]);
        let count = |percent| (0..100_000u64).filter(|&k| under_percent(draw(salt, k), percent)).count();
        assert_eq!((count(0), count(100)), (0, 100_000));
        assert!((count(30) as i64 - 30_000).abs() < 600, "{}", count(30));
        for key in 0..10_000 {
            let out = (0..=100).map(|p| under_percent(draw(salt, key), p)).collect::<Vec<_>>();
            assert!(out.is_sorted(), "{key}");
        }
    }

    /// The hash is the same forever: a line of the file is one fact of it.
    #[test]
    fn sticky_vectors() {
        let text = include_str!("../../tests/data/sticky.txt");
        let mut facts = 0;
        for line in text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [seed, parts, client, prefix_len, expect] = fields[..] else { panic!("{line}") };
            let parts: Vec<&str> = parts.split('/').collect();
            let key = client_key(client.parse().unwrap(), prefix_len.parse().unwrap());
            let got = draw(salt(seed.parse().unwrap(), &parts), key);
            assert_eq!(format!("{got:016x}"), expect, "{line}");
            facts += 1;
        }
        assert!(facts >= 12);
    }
}
