//! `EnvRng`: NumPy's default generator, bit for bit, so that a seed means here what it means in Gymnasium.

use std::convert::Infallible;

use crate::{seed_sequence, ziggurat};

/// Multiplier of the 128-bit congruential generator (O'Neill 2014, "PCG", HMC-CS-2014-0905).
const MULTIPLIER: u128 = 0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645;

/// NumPy's `Generator(PCG64(SeedSequence(seed)))`: the same words, floats, bounded integers and normals in the same
/// order, and the same internal state. (NumPy 2.4; normals in the tail also need `exp` and `log1p` to round alike.)
///
/// ```
/// use relax_rng::EnvRng;
/// let mut rng = EnvRng::from_seed(42);           // numpy.random.default_rng(42)
/// assert_eq!(rng.uniform(-0.05, 0.05), 0.027395604855596334);
/// let mut rng = EnvRng::from_seed(42);
/// assert_eq!([rng.integers(0, 10), rng.integers(0, 10), rng.integers(0, 10)], [0, 7, 6]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvRng {
    state: u128,
    increment: u128,
    /// High half of the last word that `next_u32` split, until it is used.
    buffered: Option<u32>,
    /// What NumPy keeps in `uinteger` after the half was used; only `state()` shows it.
    last_half: u32,
}

impl EnvRng {
    /// `numpy.random.default_rng(seed)`.
    pub fn from_seed(seed: u64) -> Self {
        Self::from_seed_sequence(seed, &[])
    }

    /// `Generator(PCG64(SeedSequence(entropy, spawn_key=spawn_key)))`: a family of independent streams under one seed.
    ///
    /// ```
    /// use relax_rng::EnvRng;
    /// assert_ne!(EnvRng::from_seed_sequence(1, &[0]), EnvRng::from_seed_sequence(1, &[1]));
    /// assert_eq!(EnvRng::from_seed_sequence(1, &[]), EnvRng::from_seed(1));
    /// ```
    pub fn from_seed_sequence(entropy: u64, spawn_key: &[u32]) -> Self {
        let words = seed_sequence::generate_state(entropy, spawn_key).map(u128::from);
        let increment = ((words[2] << 64 | words[3]) << 1) | 1;
        let state = increment.wrapping_add(words[0] << 64 | words[1]);
        Self {
            state: state.wrapping_mul(MULTIPLIER).wrapping_add(increment),
            increment,
            buffered: None,
            last_half: 0,
        }
    }

    /// The next 64 random bits (PCG XSL-RR 128/64).
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    /// The next 32 random bits. As in NumPy a 64-bit word gives two of them, low half first; the high half waits
    /// while other draws go by.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        if let Some(half) = self.buffered.take() {
            return half;
        }
        let word = self.next_u64();
        self.last_half = (word >> 32) as u32;
        self.buffered = Some(self.last_half);
        word as u32
    }

    /// Uniform in `[0, 1)`, a multiple of 2⁻⁵³.
    #[inline]
    pub fn random(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Uniform in `[low, high)` (up to rounding), `Generator.uniform(low, high)`.
    #[inline]
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random()
    }

    /// Uniform strictly inside (0, 1), for noise whose logarithms are taken: `(k + ½)·2⁻²⁴` with `k` the top 24 bits of
    /// one word, rounded to `f32` and kept ≤ 1 − 2⁻²⁴, the largest `f32` below one. The smallest value is 2⁻²⁵.
    #[inline]
    pub fn uniform_open_f32(&mut self) -> f32 {
        const LARGEST_BELOW_ONE: f32 = 1.0 - f32::EPSILON / 2.0;
        let k = (self.next_u64() >> 40) as f32;
        ((k + 0.5) * (1.0 / 16_777_216.0)).min(LARGEST_BELOW_ONE)
    }

    /// A whole number in `low..high`, `Generator.integers(low, high)`: Lemire's method (2019, doi:10.1145/3230636), on
    /// buffered 32-bit draws where the range fits in 32 bits and on 64-bit words otherwise.
    ///
    /// # Panics
    ///
    /// If `low >= high`.
    #[inline]
    pub fn integers(&mut self, low: i64, high: i64) -> i64 {
        assert!(low < high, "EnvRng::integers needs low < high, got {low}..{high}");
        let range = high.wrapping_sub(low).wrapping_sub(1) as u64;
        low.wrapping_add(self.bounded(range) as i64)
    }

    /// Uniform in `0..=range`.
    #[inline]
    fn bounded(&mut self, range: u64) -> u64 {
        const MAX_32: u64 = u32::MAX as u64;
        match range {
            0 => 0,
            MAX_32 => u64::from(self.next_u32()),
            u64::MAX => self.next_u64(),
            1..MAX_32 => {
                let count = range + 1;
                let mut product = u64::from(self.next_u32()) * count;
                if product & MAX_32 < count {
                    let threshold = (MAX_32 - range) % count;
                    while product & MAX_32 < threshold {
                        product = u64::from(self.next_u32()) * count;
                    }
                }
                product >> 32
            }
            _ => {
                let count = range + 1;
                let mut product = u128::from(self.next_u64()) * u128::from(count);
                if (product as u64) < count {
                    let threshold = (u64::MAX - range) % count;
                    while (product as u64) < threshold {
                        product = u128::from(self.next_u64()) * u128::from(count);
                    }
                }
                (product >> 64) as u64
            }
        }
    }

    /// A standard normal draw, `Generator.standard_normal()`: the ziggurat of Marsaglia & Tsang (2000,
    /// doi:10.18637/jss.v005.i08) with NumPy's tables.
    pub fn standard_normal(&mut self) -> f64 {
        const TAIL: f64 = 3.654_152_885_361_009;
        const INVERSE_TAIL: f64 = 0.273_661_237_329_758_3;
        loop {
            let word = self.next_u64();
            let layer = (word & 0xff) as usize;
            let negative = word >> 8 & 1 == 1;
            let magnitude = word >> 9 & 0x000f_ffff_ffff_ffff;
            let x = magnitude as f64 * f64::from_bits(ziggurat::WIDTH[layer]);
            let x = if negative { -x } else { x };
            if magnitude < ziggurat::ACCEPT[layer] {
                return x;
            }
            if layer == 0 {
                loop {
                    let beyond = -INVERSE_TAIL * (-self.random()).ln_1p();
                    let height = -(-self.random()).ln_1p();
                    if height + height > beyond * beyond {
                        return if magnitude >> 8 & 1 == 1 { -(TAIL + beyond) } else { TAIL + beyond };
                    }
                }
            }
            let (below, above) =
                (f64::from_bits(ziggurat::DENSITY[layer]), f64::from_bits(ziggurat::DENSITY[layer - 1]));
            if (above - below) * self.random() + below < (-0.5 * x * x).exp() {
                return x;
            }
        }
    }

    /// The whole state in six words: state high and low, increment high and low, `has_uint32`, `uinteger` (the
    /// fields of NumPy's `bit_generator.state`).
    pub fn state(&self) -> [u64; 6] {
        [
            (self.state >> 64) as u64,
            self.state as u64,
            (self.increment >> 64) as u64,
            self.increment as u64,
            u64::from(self.buffered.is_some()),
            u64::from(self.last_half),
        ]
    }

    /// The generator with this [`state`](Self::state).
    ///
    /// # Errors
    ///
    /// [`InvalidRngState`] if the increment is even, `has_uint32` is neither 0 nor 1, or `uinteger` has more
    /// than 32 bits.
    pub fn from_state(words: [u64; 6]) -> Result<Self, InvalidRngState> {
        let [state_high, state_low, increment_high, increment_low, has_half, half] = words;
        if increment_low & 1 == 0 {
            return Err(InvalidRngState { reason: "the increment is even" });
        }
        let last_half = u32::try_from(half)
            .map_err(|_| InvalidRngState { reason: "`uinteger` has more than 32 bits" })?;
        let buffered = match has_half {
            0 => None,
            1 => Some(last_half),
            _ => return Err(InvalidRngState { reason: "`has_uint32` is neither 0 nor 1" }),
        };
        Ok(Self {
            state: u128::from(state_high) << 64 | u128::from(state_low),
            increment: u128::from(increment_high) << 64 | u128::from(increment_low),
            buffered,
            last_half,
        })
    }
}

/// Why six words are not the state of a generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid generator state: {reason}")]
pub struct InvalidRngState {
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Makes every distribution of the `rand` crates usable (`rand::Rng` follows from this).
impl rand::TryRng for EnvRng {
    type Error = Infallible;

    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next_u32())
    }

    #[inline]
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}
