//! Optimisers over a flat parameter vector, one fused loop each, with state that saves and loads.

use crate::{Real, StateDict, StateError, StateTensor, team};
use multiversion::multiversion;

/// Which update rule an [`Optimizer`] applies; g is the gradient of the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Adam (Kingma & Ba 2015, algorithm 1, with ε outside the root of the corrected second moment, as PyTorch).
    Adam {
        /// Decay of the first moment, 0.9.
        beta1: f64,
        /// Decay of the second moment, 0.999.
        beta2: f64,
        /// Added to the root, 1e-8.
        epsilon: f64,
    },
    /// RMSprop as in PyTorch: v ← αv + (1−α)g², x ← x − η g/(√v + ε), v starting at 0.
    RmsProp {
        /// Decay α of the average, 0.99.
        alpha: f64,
        /// Added to the root, 1e-8 (1e-5 is usual for A2C).
        epsilon: f64,
    },
    /// RMSprop as in TensorFlow 1: x ← x − η g/√(v + ε), v starting at 1. The published A2C results used this form;
    /// it takes smaller first steps.
    RmsPropTensorFlow {
        /// Decay α of the average, 0.99.
        alpha: f64,
        /// Added inside the root, 1e-5.
        epsilon: f64,
    },
}

impl Rule {
    /// Adam with its usual constants.
    pub const ADAM: Self = Self::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    /// PyTorch's RMSprop with its usual constants.
    pub const RMS_PROP: Self = Self::RmsProp { alpha: 0.99, epsilon: 1e-8 };
    /// TensorFlow's RMSprop with the constants of A2C.
    pub const RMS_PROP_TENSOR_FLOW: Self = Self::RmsPropTensorFlow { alpha: 0.99, epsilon: 1e-5 };
}

/// An optimiser of one flat parameter vector.
///
/// ```
/// use relax_nn::{Optimizer, Rule};
/// let (mut x, mut adam) = (vec![1.0f64], Optimizer::new(Rule::ADAM, 1));
/// for _ in 0..500 {
///     let gradient = [2.0 * x[0]];
///     adam.step(&mut x, &gradient, 0.01, 1.0);
/// }
/// assert!(x[0].abs() < 0.05);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Optimizer<F> {
    rule: Rule,
    steps: u64,
    first: Vec<F>,
    second: Vec<F>,
}

impl<F: Real> Optimizer<F> {
    /// An optimiser at its start, for `len` parameters.
    #[must_use]
    pub fn new(rule: Rule, len: usize) -> Self {
        let first = if matches!(rule, Rule::Adam { .. }) { vec![F::ZERO; len] } else { Vec::new() };
        let start = if matches!(rule, Rule::RmsPropTensorFlow { .. }) { F::ONE } else { F::ZERO };
        Self { rule, steps: 0, first, second: vec![start; len] }
    }

    /// One step down the gradient: `parameters` move against `scale · gradient` with step size `learning_rate`.
    /// `scale` is the factor of gradient clipping ([`clip_scale`]); 1 leaves the gradient alone.
    ///
    /// # Panics
    /// If the lengths differ from the optimiser's.
    pub fn step(&mut self, parameters: &mut [F], gradient: &[F], learning_rate: f64, scale: f64) {
        assert_eq!(parameters.len(), self.second.len(), "length of the parameter vector");
        assert_eq!(gradient.len(), self.second.len(), "length of the gradient");
        self.begin(learning_rate, scale).apply(0, parameters, gradient);
    }

    /// As [`step`](Self::step) with the rates (learning rate, scale), where the parameters before the first of `shares`' ends move at its share of
    /// the learning rate, those from there to the next at the next, and so on.
    ///
    /// ```
    /// use relax_nn::{Optimizer, Rule};
    /// let mut x = [0.0f64; 3];
    /// Optimizer::new(Rule::ADAM, 3).step_at_shares(&mut x, &[1.0; 3], (0.5, 1.0), &[(2, 0.1), (3, 1.0)]);
    /// assert!((x[1] + 0.05).abs() < 1e-6 && (x[2] + 0.5).abs() < 1e-6);
    /// ```
    ///
    /// # Panics
    /// If the last end is not that of the vector, or the lengths differ from the optimiser's.
    pub fn step_at_shares(
        &mut self,
        parameters: &mut [F],
        gradient: &[F],
        (learning_rate, scale): (f64, f64),
        shares: &[(usize, f64)],
    ) {
        assert_eq!(shares.last().map(|last| last.0), Some(self.second.len()), "end of the last share");
        let mut step = self.begin(learning_rate, scale);
        let mut start = 0;
        for &(end, share) in shares {
            step.apply_share(start, &mut parameters[start..end], &gradient[start..end], share);
            start = end;
        }
    }

    /// Begins a step that is then applied to one piece of the vector after the other. The numbers are those of
    /// [`step`](Self::step); a large network's step is faster where each piece's gradient is still in the cache.
    ///
    /// ```
    /// use relax_nn::{Optimizer, Rule};
    /// let (mut x, mut adam) = ([1.0, 2.0, 3.0], Optimizer::new(Rule::ADAM, 3));
    /// let mut step = adam.begin(0.1, 1.0);
    /// step.apply(0, &mut x[..2], &[0.5, -0.5]);
    /// step.apply(2, &mut x[2..], &[2.0]);
    /// let mut y = [1.0, 2.0, 3.0];
    /// Optimizer::new(Rule::ADAM, 3).step(&mut y, &[0.5, -0.5, 2.0], 0.1, 1.0);
    /// assert_eq!(x, y);
    /// ```
    pub fn begin(&mut self, learning_rate: f64, scale: f64) -> OptimizerStep<'_, F> {
        self.steps += 1;
        let constants = match self.rule {
            Rule::Adam { beta1, beta2, epsilon } => {
                let correction = |beta: f64| 1.0 - beta.powf(self.steps as f64);
                Constants::Adam(AdamConstants {
                    beta1: F::of(beta1),
                    rest1: F::of((1.0 - beta1) * scale),
                    beta2: F::of(beta2),
                    rest2: F::of((1.0 - beta2) * scale * scale),
                    step: F::of(learning_rate / correction(beta1)),
                    inverse_root: F::of(1.0 / correction(beta2).sqrt()),
                    epsilon: F::of(epsilon),
                })
            }
            Rule::RmsProp { alpha, epsilon } | Rule::RmsPropTensorFlow { alpha, epsilon } => {
                let inside = matches!(self.rule, Rule::RmsPropTensorFlow { .. });
                Constants::RmsProp(RmsConstants {
                    alpha: F::of(alpha),
                    rest: F::of((1.0 - alpha) * scale * scale),
                    step: F::of(learning_rate * scale),
                    inside: F::of(if inside { epsilon } else { 0.0 }),
                    outside: F::of(if inside { 0.0 } else { epsilon }),
                })
            }
        };
        OptimizerStep { first: &mut self.first, second: &mut self.second, constants }
    }

    /// Steps taken so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// First and second moments, to be saved with [`steps`](Self::steps) in any precision; the first are empty for RMSprop.
    #[must_use]
    pub fn moments(&self) -> (&[F], &[F]) {
        (&self.first, &self.second)
    }

    /// An optimiser of `rule` at the steps and [`moments`](Self::moments) given; `None` if their lengths do not fit each other.
    #[must_use]
    pub fn at(rule: Rule, steps: u64, first: Vec<F>, second: Vec<F>) -> Option<Self> {
        let fits =
            if matches!(rule, Rule::Adam { .. }) { first.len() == second.len() } else { first.is_empty() };
        fits.then_some(Self { rule, steps, first, second })
    }
}

impl Optimizer<f32> {
    /// Counters and moments, to be saved.
    #[must_use]
    pub fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert("steps", StateTensor::U64(vec![self.steps]));
        state.insert_f32("first_moment", &self.first);
        state.insert_f32("second_moment", &self.second);
        state
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or of another length; the optimiser is then unchanged.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), StateError> {
        let [steps] = state.u64_array("steps")?;
        let first = state.f32("first_moment", self.first.len())?;
        let second = state.f32("second_moment", self.second.len())?;
        self.steps = steps;
        self.first.copy_from_slice(first);
        self.second.copy_from_slice(second);
        Ok(())
    }
}

/// One step of an [`Optimizer`] on its way through the parameter vector; see [`Optimizer::begin`].
#[derive(Debug)]
pub struct OptimizerStep<'a, F> {
    first: &'a mut [F],
    second: &'a mut [F],
    constants: Constants<F>,
}

impl<F: Real> OptimizerStep<'_, F> {
    /// Moves the piece of the parameter vector that starts at `at`. Each parameter must be moved once.
    ///
    /// # Panics
    /// If the piece does not lie in the vector, or its gradient is of another length.
    pub fn apply(&mut self, at: usize, parameters: &mut [F], gradient: &[F]) {
        self.apply_share(at, parameters, gradient, 1.0);
    }

    /// As [`apply`](Self::apply), at `share` of the learning rate.
    fn apply_share(&mut self, at: usize, parameters: &mut [F], gradient: &[F], share: f64) {
        assert_eq!(gradient.len(), parameters.len(), "length of the gradient");
        let piece = at..at + parameters.len();
        let second = &mut self.second[piece.clone()];
        match &self.constants {
            Constants::Adam(constants) => {
                let constants = &AdamConstants { step: constants.step * F::of(share), ..*constants };
                let parts = team::parts(parameters.len(), team::STEP);
                adam_in(parts, parameters, gradient, &mut self.first[piece], second, constants);
            }
            Constants::RmsProp(constants) => {
                let constants = &RmsConstants { step: constants.step * F::of(share), ..*constants };
                rms_prop(parameters, gradient, second, constants);
            }
        }
    }
}

#[derive(Debug)]
enum Constants<F> {
    Adam(AdamConstants<F>),
    RmsProp(RmsConstants<F>),
}

#[derive(Debug)]
struct AdamConstants<F> {
    beta1: F,
    rest1: F,
    beta2: F,
    rest2: F,
    step: F,
    inverse_root: F,
    epsilon: F,
}

/// [`adam`] on `parts` equal pieces of the vector at once.
fn adam_in<F: Real>(
    parts: usize,
    x: &mut [F],
    g: &[F],
    first: &mut [F],
    second: &mut [F],
    k: &AdamConstants<F>,
) {
    if parts <= 1 {
        return adam(x, g, first, second, k);
    }
    let at = x.len() * (parts / 2) / parts;
    let ((x0, x1), (g0, g1)) = (x.split_at_mut(at), g.split_at(at));
    let ((m0, m1), (v0, v1)) = (first.split_at_mut(at), second.split_at_mut(at));
    rayon::join(|| adam_in(parts / 2, x0, g0, m0, v0, k), || adam_in(parts - parts / 2, x1, g1, m1, v1, k));
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn adam<F: Real>(x: &mut [F], g: &[F], first: &mut [F], second: &mut [F], k: &AdamConstants<F>) {
    for (((x, &g), m), v) in x.iter_mut().zip(g).zip(first).zip(second) {
        // A weight behind a dead unit has no gradient, and its moments would decay into the subnormal numbers.
        *m = k.beta1.fma(*m, k.rest1 * g).flushed();
        *v = k.beta2.fma(*v, k.rest2 * g * g).flushed();
        *x -= k.step * *m / v.root().fma(k.inverse_root, k.epsilon);
    }
}

#[derive(Debug)]
struct RmsConstants<F> {
    alpha: F,
    rest: F,
    step: F,
    inside: F,
    outside: F,
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn rms_prop<F: Real>(x: &mut [F], g: &[F], second: &mut [F], k: &RmsConstants<F>) {
    for ((x, &g), v) in x.iter_mut().zip(g).zip(second) {
        *v = k.alpha.fma(*v, k.rest * g * g);
        *x -= k.step * g / ((*v + k.inside).root() + k.outside);
    }
}

/// The Euclidean norm of a gradient, summed in `f64` in a fixed order.
#[must_use]
pub fn global_norm<F: Real>(gradient: &[F]) -> f64 {
    squares(gradient).sqrt()
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn squares<F: Real>(gradient: &[F]) -> f64 {
    let mut lanes = [0f64; 16];
    let (blocks, rest) = gradient.as_chunks::<16>();
    for block in blocks {
        for (sum, x) in lanes.iter_mut().zip(block) {
            *sum += x.wide() * x.wide();
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|x| x.wide() * x.wide()).sum::<f64>()
}

/// The factor by which a gradient of this norm must be scaled to be no longer than `max_norm`; `max_norm` 0 means no
/// limit. As PyTorch's `clip_grad_norm_`, with its 1e-6.
#[must_use]
pub fn clip_scale(norm: f64, max_norm: f64) -> f64 {
    if max_norm > 0.0 { (max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GRADIENTS: [[f64; 2]; 3] = [[0.3, -2.0], [-0.1, 1.5], [0.7, 0.2]];

    fn run(rule: Rule, scale: f64) -> Vec<f64> {
        let (mut x, mut optimizer) = (vec![1.0, -1.0], Optimizer::new(rule, 2));
        for g in GRADIENTS {
            optimizer.step(&mut x, &g, 0.1, scale);
        }
        x
    }

    fn close(x: &[f64], expected: [f64; 2]) {
        assert!(x.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{x:?}, expected {expected:?}");
    }

    /// The textbook recursions, written out once more.
    #[test]
    fn each_rule_follows_its_recursion() {
        for scale in [1.0, 0.25] {
            let (mut adam, mut torch, mut tensorflow) = ([1.0, -1.0], [1.0, -1.0], [1.0, -1.0]);
            for i in 0..2 {
                let (mut m, mut v, mut vt, mut vf) = (0.0, 0.0, 0.0, 1.0);
                for (t, g) in GRADIENTS.iter().enumerate() {
                    let (g, t) = (g[i] * scale, t as i32 + 1);
                    m = 0.9 * m + 0.1 * g;
                    v = 0.999 * v + 0.001 * g * g;
                    adam[i] -=
                        0.1 * (m / (1.0 - 0.9f64.powi(t))) / ((v / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-8);
                    vt = 0.99 * vt + 0.01 * g * g;
                    torch[i] -= 0.1 * g / (vt.sqrt() + 1e-8);
                    vf = 0.99 * vf + 0.01 * g * g;
                    tensorflow[i] -= 0.1 * g / (vf + 1e-5f64).sqrt();
                }
            }
            close(&run(Rule::ADAM, scale), adam);
            close(&run(Rule::RMS_PROP, scale), torch);
            close(&run(Rule::RMS_PROP_TENSOR_FLOW, scale), tensorflow);
        }
    }

    #[test]
    fn a_restored_optimizer_continues_bit_for_bit() {
        for rule in [Rule::ADAM, Rule::RMS_PROP, Rule::RMS_PROP_TENSOR_FLOW] {
            let (mut x, mut optimizer) = (vec![0.5f32; 40], Optimizer::new(rule, 40));
            let gradient: Vec<f32> = (0..40).map(|i| i as f32 - 20.0).collect();
            optimizer.step(&mut x, &gradient, 0.01, 1.0);
            let (mut y, mut other) = (x.clone(), Optimizer::new(rule, 40));
            other.restore(&optimizer.state()).unwrap();
            optimizer.step(&mut x, &gradient, 0.01, 1.0);
            other.step(&mut y, &gradient, 0.01, 1.0);
            assert_eq!(x, y);
            assert_eq!(optimizer, other);
            assert!(Optimizer::<f32>::new(rule, 39).restore(&optimizer.state()).is_err());
        }
    }

    #[test]
    fn clipping_scales_to_the_limit_and_no_further() {
        let g: Vec<f32> = (0..100).map(|i| i as f32).collect();
        let norm = global_norm(&g);
        assert!((norm - 328_350f64.sqrt()).abs() < 1e-9);
        assert!((clip_scale(norm, 0.5) * norm - 0.5).abs() < 1e-6);
        assert_eq!(clip_scale(0.1, 0.5), 1.0);
        assert_eq!(clip_scale(1e9, 0.0), 1.0);
    }
}
