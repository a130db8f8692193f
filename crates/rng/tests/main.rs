//! `EnvRng` against NumPy 2.4.6: seeds, spawn keys, integers, floats, normals, state.

#![allow(clippy::unwrap_used)]

use rand::{Rng, SeedableRng};
use relax_rng::EnvRng;

/// `Generator(PCG64(SeedSequence(entropy, spawn_key=key))).bit_generator.random_raw(3)`.
const SEEDED: &[(u64, &[u32], [u64; 3])] = &[
    (0, &[], [0xa30febcfd9c2825f, 0x4510bdf882d9d721, 0xa7d3da94ecde8b8]),
    (42, &[], [0xc621fbcd16d92688, 0x705a5661a791ffc1, 0xdbcd12c26eda1624]),
    (4294967295, &[], [0x407f5fa930d8fd9f, 0x3814b22eb9684802, 0x498b7dcee8d8dc95]),
    (4294967296, &[], [0xe3c5ebe285ac1625, 0x8ea09968fe31dbcc, 0xcd084ff84d8de9be]),
    (18446744073709551615, &[], [0xae163a7a8c47568f, 0xd86659f5f3382359, 0x1e52b195bc2d24a]),
    (0, &[0], [0xf1645affcd5f76ee, 0x50fb78bc01675596, 0xb8eb71a2c24c942d]),
    (42, &[0], [0xeaafbebf7f55d256, 0xe9366c1894d944c8, 0xe0685dcb37cff0d6]),
    (42, &[1], [0x77ad79cb131f4097, 0xbe4132b2eb1f48e, 0x9873580fa7f3399f]),
    (7, &[1, 2, 3], [0x8b8d39fc12699b99, 0x83b92b9abef5d853, 0xef49789f1f804bf3]),
    (1099511627781, &[9], [0x5a75f3af66e77e4, 0x3d453a657fa2b503, 0xd4c137df07122503]),
    (1, &[0, 0, 0, 0, 5], [0x4210bbbfb630df37, 0x337a736ab6c60737, 0x6e5c0833baa95c56]),
    (12345678901234567890, &[4294967295, 7], [0x541746c826a49e0f, 0xfc16c7088956054c, 0x9ca4eada922d958c]),
];

#[test]
fn seeds_and_spawn_keys() {
    for &(entropy, key, words) in SEEDED {
        let mut rng = EnvRng::from_seed_sequence(entropy, key);
        assert_eq!([rng.next_u64(), rng.next_u64(), rng.next_u64()], words, "{entropy} {key:?}");
    }
}

#[test]
fn the_generator_is_pcg64() {
    let mut ours = EnvRng::from_seed(3);
    let [state_high, state_low, increment_high, increment_low, ..] = ours.state();
    let mut bytes = [0; 32];
    // rand_pcg's seed is (state, increment) before its first step away from them; undo that step.
    let increment = u128::from(increment_high) << 64 | u128::from(increment_low);
    let state = u128::from(state_high) << 64 | u128::from(state_low);
    let inverse = inverse_multiplier();
    let before = state.wrapping_sub(increment).wrapping_mul(inverse).wrapping_sub(increment);
    bytes[..16].copy_from_slice(&before.to_le_bytes());
    bytes[16..].copy_from_slice(&increment.to_le_bytes());
    let mut theirs = rand_pcg::Pcg64::from_seed(bytes);
    for _ in 0..10_000 {
        assert_eq!(ours.next_u64(), theirs.next_u64());
    }
}

/// Newton's iteration for the inverse of PCG's multiplier modulo 2^128.
fn inverse_multiplier() -> u128 {
    let multiplier: u128 = 0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645;
    (0..7).fold(multiplier, |inverse, _| {
        inverse.wrapping_mul(2u128.wrapping_sub(multiplier.wrapping_mul(inverse)))
    })
}

#[test]
fn halves_are_buffered() {
    let mut rng = EnvRng::from_seed(5);
    assert_eq!([rng.next_u32(), rng.next_u32()], [2881021352, 3457461230]);
    assert_eq!(rng.next_u64(), 14903876974979881461);
    assert_eq!(rng.next_u32(), 2013703616);
}

#[test]
fn integers() {
    let known: &[(i64, i64, [i64; 6])] = &[
        (0, 2, [0, 0, 1, 0, 1, 1]),
        (0, 6, [0, 0, 4, 2, 3, 3]),
        (-5, 5, [-4, -4, 2, -1, 0, 1]),
        (0, 1, [0; 6]),
        (0, 4294967296, [574671950, 552204816, 3423435367, 2144382090, 2534171772, 2583415774]),
        (0, 4294967295, [574671949, 552204815, 3423435366, 2144382089, 2534171771, 2583415773]),
        (0, 4294967297, [552204816, 2144382091, 2583415775, 123218352, 635337695, 3986635988]),
        (0, 3221225472, [431003962, 2567576525, 1608286567, 1937561830, 2294067422, 1563915561]),
        (
            i64::MIN,
            i64::MAX,
            [
                -6851670410866406323,
                -13321086753211802,
                1872314226979923067,
                -8694153241689003054,
                -6494617412828532340,
                7899099150091302739,
            ],
        ),
        (
            0,
            6917529027641081856,
            [
                889388109745638557,
                3453769106288086502,
                4160882348938012078,
                1023282984009841300,
                6420926695104779455,
                487136379689866195,
            ],
        ),
        (10, 11, [10; 6]),
        (100, 200, [113, 112, 179, 149, 159, 160]),
    ];
    for (low, high, values) in known {
        let mut rng = EnvRng::from_seed(11);
        let drawn: [i64; 6] = std::array::from_fn(|_| rng.integers(*low, *high));
        assert_eq!(drawn, *values, "{low}..{high}");
    }
}

#[test]
fn mixed_draws_stay_in_step() {
    let mut rng = EnvRng::from_seed(99);
    let mut sum = 0u64;
    let mut join = |word: u64| sum = sum.wrapping_mul(31).wrapping_add(word);
    for i in 0..20_000i64 {
        let first = rng.integers(0, i + 1);
        let second = rng.integers(-i, 7 * i + 1);
        join((first + second) as u64);
        if i % 7 == 0 {
            join(rng.random().to_bits());
        }
        if i % 11 == 0 {
            join(rng.integers(0, i64::MAX) as u64);
        }
    }
    assert_eq!(sum, 847719990016729608);
    let (state, increment) =
        (225171804852196293805986489563459519736u128, 324459057272246375853630270025492255805u128);
    let words =
        [(state >> 64) as u64, state as u64, (increment >> 64) as u64, increment as u64, 0, 1218701084];
    assert_eq!(rng.state(), words);
}

#[test]
fn uniform_and_normal() {
    let mut rng = EnvRng::from_seed(3);
    let drawn: [f64; 3] = std::array::from_fn(|_| rng.uniform(-2.0, 5.0));
    assert_eq!(drawn, [-1.4004558299946295, -0.3423264538273021, 3.608921256444778]);

    let mut rng = EnvRng::from_seed(3);
    let drawn: Vec<f64> = (0..300_000).map(|_| rng.standard_normal()).collect();
    assert_eq!(
        drawn[..4],
        [2.0409191213851825, -2.5556650313141818, 0.41809884672577885, -0.5677696061279298]
    );
    // All bits of 300,000 draws, 68 of them from the tail.
    let sum = drawn.iter().fold(0u64, |sum, x| sum.wrapping_add(x.to_bits()));
    assert_eq!(drawn.iter().filter(|x| x.abs() > 3.654152885361009).count(), 68);
    assert_eq!(sum, 17686642143086390958);
}

/// A generator whose next word is `word`: the state before it, from PCG's output function and step.
fn rng_with_next_word(word: u64) -> EnvRng {
    // A state with high half 0 is output unrotated as its low half.
    let (state, increment) = (u128::from(word), 1u128);
    let before = state.wrapping_sub(increment).wrapping_mul(inverse_multiplier());
    EnvRng::from_state([(before >> 64) as u64, before as u64, 0, 1, 0, 0]).unwrap()
}

#[test]
fn open_uniform_never_reaches_its_ends() {
    for (word, value) in [
        (0, 0.5f32 / 16_777_216.0),
        (1 << 40, 1.5 / 16_777_216.0),
        (u64::MAX, 0.99999994),
        (u64::MAX - (1 << 40), 0.9999999),
        (1 << 63, 0.5),
    ] {
        let mut rng = rng_with_next_word(word);
        assert_eq!(rng.clone().next_u64(), word);
        let drawn = rng.uniform_open_f32();
        assert_eq!(drawn, value, "{word:x}");
        assert!(drawn > 0.0 && drawn < 1.0);
    }
    let mut rng = EnvRng::from_seed(1);
    let n = 1_000_000;
    let mean = (0..n).map(|_| f64::from(rng.uniform_open_f32())).sum::<f64>() / f64::from(n);
    assert!((mean - 0.5).abs() < 5.0 * (1.0f64 / 12.0 / f64::from(n)).sqrt(), "{mean}");
}

#[test]
fn the_state_round_trips_and_is_checked() {
    let mut rng = EnvRng::from_seed(8);
    for _ in 0..5 {
        rng.next_u32();
        let mut copy = EnvRng::from_state(rng.state()).unwrap();
        assert_eq!(copy, rng);
        let mut original = rng.clone();
        for _ in 0..10 {
            assert_eq!(copy.next_u32(), original.next_u32());
            assert_eq!(copy.next_u64(), original.next_u64());
        }
    }
    let good = rng.state();
    for (index, value) in [(3, good[3] - 1), (4, 2), (5, 1 << 32)] {
        let mut words = good;
        words[index] = value;
        assert!(EnvRng::from_state(words).is_err(), "word {index} = {value}");
    }
}

#[test]
fn it_serves_the_rand_crates() {
    let (mut by_trait, mut direct) = (EnvRng::from_seed(1), EnvRng::from_seed(1));
    assert_eq!(Rng::next_u64(&mut by_trait), direct.next_u64());
    assert_eq!(Rng::next_u32(&mut by_trait), direct.next_u32());
    let mut bytes = [0; 11];
    by_trait.fill_bytes(&mut bytes);
    assert_eq!(bytes[..8], direct.next_u64().to_le_bytes());
    assert_eq!(bytes[8..], direct.next_u64().to_le_bytes()[..3]);
}
