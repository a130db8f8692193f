//! NumPy's `SeedSequence`: spreads a seed and a spawn key over as many words as a generator needs.
//!
//! O'Neill, "Developing a seed_seq alternative" (2015); NumPy `bit_generator.pyx`, pool of four words.

const POOL: usize = 4;
const INIT_A: u32 = 0x43b0_d7e5;
const MULT_A: u32 = 0x931e_8875;
const INIT_B: u32 = 0x8b51_f9dd;
const MULT_B: u32 = 0x58f3_8ded;
const MIX_L: u32 = 0xca01_f9dd;
const MIX_R: u32 = 0x4973_f715;

fn hash(value: u32, constant: &mut u32, multiplier: u32) -> u32 {
    let value = value ^ *constant;
    *constant = constant.wrapping_mul(multiplier);
    let value = value.wrapping_mul(*constant);
    value ^ (value >> 16)
}

fn mix(x: u32, y: u32) -> u32 {
    let result = MIX_L.wrapping_mul(x).wrapping_sub(MIX_R.wrapping_mul(y));
    result ^ (result >> 16)
}

/// `numpy.random.SeedSequence(entropy, spawn_key=spawn_key).generate_state(4, numpy.uint64)`.
pub(super) fn generate_state(entropy: u64, spawn_key: &[u32]) -> [u64; 4] {
    let high = (entropy >> 32) as u32;
    let mut words = vec![entropy as u32];
    if high != 0 {
        words.push(high);
    }
    if !spawn_key.is_empty() {
        // Zero-filled up to the pool, so that a spawn key never looks like more entropy.
        words.resize(POOL, 0);
        words.extend_from_slice(spawn_key);
    }

    let mut constant = INIT_A;
    let mut pool = [0u32; POOL];
    for (i, entry) in pool.iter_mut().enumerate() {
        *entry = hash(words.get(i).copied().unwrap_or(0), &mut constant, MULT_A);
    }
    for source in 0..POOL {
        for target in (0..POOL).filter(|&target| target != source) {
            pool[target] = mix(pool[target], hash(pool[source], &mut constant, MULT_A));
        }
    }
    for &word in words.iter().skip(POOL) {
        for entry in &mut pool {
            *entry = mix(*entry, hash(word, &mut constant, MULT_A));
        }
    }

    let mut constant = INIT_B;
    let mut halves = [0u32; 8];
    for (i, half) in halves.iter_mut().enumerate() {
        *half = hash(pool[i % POOL], &mut constant, MULT_B);
    }
    std::array::from_fn(|i| u64::from(halves[2 * i]) | u64::from(halves[2 * i + 1]) << 32)
}
