//! RELAX for discrete nodes: the gradient, its correction term, and the adjoints that train the control variate.
//!
//! Source: Grathwohl et al. 2018, eq. 8 and algorithm 2. Everything is linear in what the control variate c returns, so
//! the gradient of any loss of ĝ with respect to φ is `α·∂c(z̃)/∂φ + β₁·∂∇c(z)/∂φ + β₂·∂∇c(z̃)/∂φ` with the numbers α, β₁, β₂ of
//! [`relax_adjoint`]: no double back-propagation.

use crate::Real;
use crate::shape::{check_len, width};

/// How the logits reach the log-probabilities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Projection<'a, F> {
    /// Bernoulli: w is already with respect to the logits.
    Identity,
    /// Categorical: Πᵀx = x − p·Σx with the probabilities p, `[B, K]`.
    Softmax(&'a [F]),
}

/// What an estimator needs of a sampled discrete node, all of it independent of the control variate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node<'a, F> {
    /// s = ∂log p(b)/∂l, `[B, K]`.
    pub score: &'a [F],
    /// Diagonal of ∂z̃/∂log p (categorical) or ∂z̃/∂l (Bernoulli), `[B, K]`.
    pub w: &'a [F],
    /// From log-probabilities to logits.
    pub projection: Projection<'a, F>,
}

impl<'a, F: Real> Node<'a, F> {
    /// A node of independent Bernoulli variables.
    #[must_use]
    pub fn bernoulli(score: &'a [F], w: &'a [F]) -> Self {
        Self { score, w, projection: Projection::Identity }
    }

    /// A categorical node with probabilities `probs`, `[B, K]`.
    #[must_use]
    pub fn categorical(score: &'a [F], w: &'a [F], probs: &'a [F]) -> Self {
        Self { score, w, projection: Projection::Softmax(probs) }
    }

    /// Checks all lengths against a batch of `rows`; returns K.
    #[inline]
    #[track_caller]
    fn check(&self, rows: usize) -> usize {
        let k = width("score", self.score.len(), rows);
        check_len("w", self.w, self.score.len());
        if let Projection::Softmax(probs) = self.projection {
            check_len("probs", probs, self.score.len());
        }
        k
    }

    /// (s, w, p) of row i; p is empty for the identity.
    #[inline]
    fn row(&self, i: usize, k: usize) -> (&'a [F], &'a [F], &'a [F]) {
        let at = i * k..(i + 1) * k;
        let p = match self.projection {
            Projection::Identity => &[],
            Projection::Softmax(probs) => &probs[at.clone()],
        };
        (&self.score[at.clone()], &self.w[at], p)
    }
}

/// RELAX, ĝ = s·(f − c(z̃)) + Πᵀ\[∇c(z) − w∘∇c(z̃)\]: an unbiased sample of ∂E\[f\]/∂l for any c (Grathwohl et al. 2018, eq. 8).
///
/// # Shapes
/// `f`, `c_tilde` = c(z̃): `[B]`; `gradient_z` = ∇c(z), `gradient_z_tilde` = ∇c(z̃), `gradient` = ĝ: `[B, K]`.
///
/// ```
/// use relax_estimators::{Node, Baseline, reinforce, relax};
///
/// // With c = 0 RELAX is REINFORCE, bit for bit.
/// let (score, w, f) = ([0.7, -0.3], [0.2, 0.4], [1.5]);
/// let (mut a, mut b) = ([0.0; 2], [0.0; 2]);
/// relax(&Node::bernoulli(&score, &w), &f, &[0.0], &[0.0; 2], &[0.0; 2], &mut a);
/// reinforce(&score, &f, Baseline::None, &mut b);
/// assert_eq!(a, b);
/// ```
pub fn relax<F: Real>(
    node: &Node<'_, F>,
    f: &[F],
    c_tilde: &[F],
    gradient_z: &[F],
    gradient_z_tilde: &[F],
    gradient: &mut [F],
) {
    let k = node.check(f.len());
    check_len("c_tilde", c_tilde, f.len());
    check_len("gradient_z", gradient_z, node.score.len());
    check_len("gradient_z_tilde", gradient_z_tilde, node.score.len());
    check_len("gradient", gradient, node.score.len());
    let slopes = gradient_z.chunks_exact(k).zip(gradient_z_tilde.chunks_exact(k));
    for (i, (out, (at_z, at_z_tilde))) in gradient.chunks_exact_mut(k).zip(slopes).enumerate() {
        let (s, w, p) = node.row(i, k);
        for (o, ((&g, &gt), &w)) in out.iter_mut().zip(at_z.iter().zip(at_z_tilde).zip(w)) {
            *o = g - w * gt;
        }
        project_and_add(p, s, f[i] - c_tilde[i], out);
    }
}

/// RELAX with coupled noise, z̃ = z: ĝ = s·(f − c(z)) + Πᵀ\[(1−w)∘∇c(z)\]. One evaluation of c serves both terms.
///
/// `node.w` must come from `conditional_coupled`.
/// # Shapes
/// `f`, `c` = c(z): `[B]`; `c_gradient` = ∇c(z), `gradient` = ĝ: `[B, K]`.
pub fn relax_coupled<F: Real>(node: &Node<'_, F>, f: &[F], c: &[F], c_gradient: &[F], gradient: &mut [F]) {
    let k = node.check(f.len());
    check_len("c", c, f.len());
    check_len("c_gradient", c_gradient, node.score.len());
    check_len("gradient", gradient, node.score.len());
    for (i, (out, slope)) in gradient.chunks_exact_mut(k).zip(c_gradient.chunks_exact(k)).enumerate() {
        let (s, w, p) = node.row(i, k);
        for (o, (&g, &w)) in out.iter_mut().zip(slope.iter().zip(w)) {
            *o = (F::ONE - w) * g;
        }
        project_and_add(p, s, f[i] - c[i], out);
    }
}

/// What a control variate r takes off the estimator: B = s·r(z̃) − Πᵀ\[∇r(z) − w∘∇r(z̃)\], with E\[B\] = 0.
///
/// RELAX with c = V + r, V constant in z, is A − B with A = s·(f − V): see [`combine`](crate::combine). Shapes as for [`relax`].
pub fn correction<F: Real>(
    node: &Node<'_, F>,
    r_tilde: &[F],
    gradient_z: &[F],
    gradient_z_tilde: &[F],
    correction: &mut [F],
) {
    let k = node.check(r_tilde.len());
    check_len("gradient_z", gradient_z, node.score.len());
    check_len("gradient_z_tilde", gradient_z_tilde, node.score.len());
    check_len("correction", correction, node.score.len());
    let slopes = gradient_z.chunks_exact(k).zip(gradient_z_tilde.chunks_exact(k));
    for (i, (out, (at_z, at_z_tilde))) in correction.chunks_exact_mut(k).zip(slopes).enumerate() {
        let (s, w, p) = node.row(i, k);
        for (o, ((&g, &gt), &w)) in out.iter_mut().zip(at_z.iter().zip(at_z_tilde).zip(w)) {
            *o = w * gt - g;
        }
        project_and_add(p, s, r_tilde[i], out);
    }
}

/// [`correction`] with coupled noise: B = s·r(z) − Πᵀ\[(1−w)∘∇r(z)\].
pub fn correction_coupled<F: Real>(node: &Node<'_, F>, r: &[F], r_gradient: &[F], correction: &mut [F]) {
    let k = node.check(r.len());
    check_len("r_gradient", r_gradient, node.score.len());
    check_len("correction", correction, node.score.len());
    for (i, (out, slope)) in correction.chunks_exact_mut(k).zip(r_gradient.chunks_exact(k)).enumerate() {
        let (s, w, p) = node.row(i, k);
        for (o, (&g, &w)) in out.iter_mut().zip(slope.iter().zip(w)) {
            *o = (w - F::ONE) * g;
        }
        project_and_add(p, s, r[i], out);
    }
}

/// The adjoint of [`relax`]: from q = dL/dĝ of any loss L to its derivatives by what c returned.
///
/// ```text
/// α  = dL/dc(z̃)  = −s·q          β₁ = dL/d∇c(z) = Πq          β₂ = dL/d∇c(z̃) = −w∘Πq
/// ```
/// φ is then trained with the parameter gradient of α·c(z̃) + β₂·∇c(z̃) plus that of β₁·∇c(z). For the variance objective
/// q = 2ĝ/B ([`squared_norm_upstream`](crate::squared_norm_upstream)); with a gain η, pass η·q.
/// # Shapes
/// `upstream`, `beta_z`, `beta_z_tilde`: `[B, K]`; `alpha`: `[B]`.
pub fn relax_adjoint<F: Real>(
    node: &Node<'_, F>,
    upstream: &[F],
    alpha: &mut [F],
    beta_z: &mut [F],
    beta_z_tilde: &mut [F],
) {
    let k = node.check(alpha.len());
    check_len("upstream", upstream, node.score.len());
    check_len("beta_z", beta_z, node.score.len());
    check_len("beta_z_tilde", beta_z_tilde, node.score.len());
    let betas = beta_z.chunks_exact_mut(k).zip(beta_z_tilde.chunks_exact_mut(k));
    for (i, ((b1, b2), q)) in betas.zip(upstream.chunks_exact(k)).enumerate() {
        let (s, w, p) = node.row(i, k);
        alpha[i] = -dot(s, q);
        let mean = dot(p, q);
        for (((b1, b2), &q), &w) in b1.iter_mut().zip(b2).zip(q).zip(w) {
            (*b1, *b2) = (q - mean, -w * (q - mean));
        }
    }
}

/// The adjoint of [`relax_coupled`]: α = dL/dc(z) = −s·q and β = dL/d∇c(z) = (1−w)∘Πq.
///
/// Shapes as for [`relax_adjoint`].
pub fn relax_coupled_adjoint<F: Real>(node: &Node<'_, F>, upstream: &[F], alpha: &mut [F], beta: &mut [F]) {
    let k = node.check(alpha.len());
    check_len("upstream", upstream, node.score.len());
    check_len("beta", beta, node.score.len());
    for (i, (beta, q)) in beta.chunks_exact_mut(k).zip(upstream.chunks_exact(k)).enumerate() {
        let (s, w, p) = node.row(i, k);
        alpha[i] = -dot(s, q);
        let mean = dot(p, q);
        for ((b, &q), &w) in beta.iter_mut().zip(q).zip(w) {
            *b = (F::ONE - w) * (q - mean);
        }
    }
}

/// x ← s·a + Πᵀx for one row; an empty p stands for the identity.
#[inline]
fn project_and_add<F: Real>(p: &[F], s: &[F], a: F, x: &mut [F]) {
    if p.is_empty() {
        for (x, &s) in x.iter_mut().zip(s) {
            *x = s * a + *x;
        }
    } else {
        let sum = x.iter().copied().sum::<F>();
        for ((x, &s), &p) in x.iter_mut().zip(s).zip(p) {
            *x = s * a + (*x - p * sum);
        }
    }
}

#[inline]
fn dot<F: Real>(a: &[F], b: &[F]) -> F {
    a.iter().zip(b).map(|(&a, &b)| a * b).sum()
}
