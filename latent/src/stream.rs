//! Random-number streams named by (seed, role, index): whoever knows the name can draw the same numbers again, so a
//! resumed run needs no generator's state.

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

/// Role of the initial weights.
pub const INITIAL: u64 = 0;
/// Role of one iteration's noise; the index is the iteration.
pub const NOISE: u64 = 1;
/// Role of the noise that gradient variances are measured with.
pub const VARIANCE: u64 = 2;
/// Role of the noise in evaluations.
pub const EVALUATION: u64 = 3;
/// Role of samples and reconstructions for figures.
pub const SAMPLES: u64 = 4;
/// Role of the order of the images; the index is the epoch.
pub const ORDER: u64 = 5;
/// Role of the binarisation of images.
pub const BINARIZATION: u64 = 6;

/// The generator of the stream (seed, role, index): PCG64-MCG from a state mixed by SplitMix64 (Steele et al. 2014).
///
/// ```
/// use rand::Rng;
/// use relax_latent::stream::stream;
/// assert_eq!(stream(1, 2, 3).next_u64(), stream(1, 2, 3).next_u64());
/// assert_ne!(stream(1, 2, 3).next_u64(), stream(1, 2, 4).next_u64());
/// ```
#[must_use]
pub fn stream(seed: u64, role: u64, index: u64) -> Pcg64Mcg {
    let mut state =
        [seed, role, index].into_iter().fold(0x5851_f42d_4c95_7f2d, |state, word| mix(state ^ mix(word)));
    let mut bytes = [0; 16];
    for half in bytes.chunks_exact_mut(8) {
        state = mix(state);
        half.copy_from_slice(&state.to_le_bytes());
    }
    Pcg64Mcg::from_seed(bytes)
}

/// SplitMix64's step and finaliser: a bijection of 64 bits.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
