//! Streams of random numbers, named by (seed, role, index), so that nothing but counters has to be saved to go on with them.

use rand_pcg::Pcg64Mcg;

/// What a stream is for. Two streams of different roles are unrelated.
pub mod role {
    /// Static binarisation; index: the image, counted over the whole data set.
    pub const STATIC_BINARIZATION: u64 = 1;
    /// Dynamic binarisation; index: the iteration.
    pub const DYNAMIC_BINARIZATION: u64 = 2;
    /// The order of the training images; index: the epoch.
    pub const SHUFFLE: u64 = 3;
    /// Minibatches drawn for a measurement of the gradient's variance; index: the measurement.
    pub const VARIANCE: u64 = 4;
    /// First weights.
    pub const INIT: u64 = 16;
    /// Noise of a training step; index: the iteration.
    pub const STEP: u64 = 17;
    /// Noise of a bound; index: the chunk of images.
    pub const EVALUATION: u64 = 18;
    /// Noise of a gradient whose variance is measured; index: the measurement and the draw.
    pub const VARIANCE_NOISE: u64 = 19;
    /// Noise of samples (index 0) and reconstructions (1).
    pub const SAMPLES: u64 = 20;
}

/// The stream named by `seed`, `role` and `index`.
///
/// The 128-bit state is made by SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): each of
/// the three numbers is added to the hash so far and mixed by its finaliser, and two further outputs are the halves of the
/// state. Equal names give equal streams on every machine; names that differ in any number give unrelated ones.
///
/// ```
/// use rand::Rng;
/// use relax_rng::stream::stream;
/// let draw = |seed, role, index| stream(seed, role, index).next_u64();
/// assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
/// assert_ne!(draw(1, 2, 3), draw(1, 3, 2));
/// ```
#[must_use]
pub fn stream(seed: u64, role: u64, index: u64) -> Pcg64Mcg {
    let mut hash = 0;
    for word in [seed, role, index] {
        hash = mix(hash ^ word);
    }
    let (low, high) = (mix(hash), mix(mix(hash)));
    Pcg64Mcg::new(u128::from(high) << 64 | u128::from(low))
}

/// One step of SplitMix64: the golden-ratio increment, then its finaliser.
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::Rng;

    use super::*;

    #[test]
    fn the_mixer_is_splitmix64() {
        // The first outputs for state 0, as in the reference implementation (S. Vigna, splitmix64.c).
        let golden = 0x9e37_79b9_7f4a_7c15_u64;
        let outputs = [0, 1, 2].map(|step: u64| mix(golden.wrapping_mul(step)));
        assert_eq!(outputs, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    #[test]
    fn neighbouring_names_give_different_streams() {
        let mut seen = HashSet::new();
        for seed in 0..12 {
            for role in 0..12 {
                for index in 0..12 {
                    assert!(seen.insert(stream(seed, role, index).next_u64()), "{seed} {role} {index}");
                }
            }
        }
    }

    #[test]
    fn streams_of_neighbouring_names_are_uncorrelated() {
        // Mean of the product of centred uniforms of two streams: variance 1/144 per draw.
        let uniform = |draw: u64| (draw >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
        let count = 100_000;
        for (a, b) in [((7, 1, 0), (7, 1, 1)), ((7, 1, 0), (8, 1, 0)), ((7, 1, 0), (7, 2, 0))] {
            let (mut a, mut b) = (stream(a.0, a.1, a.2), stream(b.0, b.1, b.2));
            let sum: f64 = (0..count).map(|_| uniform(a.next_u64()) * uniform(b.next_u64())).sum();
            let z = sum / (f64::from(count) / 144.0).sqrt();
            assert!(z.abs() < 4.0, "z = {z}");
        }
    }
}
