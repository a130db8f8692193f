//! A stochastic node on a random problem: everything that its estimators are made of, for one batch.

use relax_envs::EnvRng;
use relax_estimators::{
    AdaptiveGain, EstimatorError, GaussianNode, Node, bernoulli, categorical, exact, lax, lax_adjoint, relax,
    relax_adjoint, relax_coupled, relax_coupled_adjoint,
};

use super::network::Network;

/// Samples of a batch.
pub(super) const BATCH: usize = 256;
/// Steps of a trained control variate on the variance.
const TRAINING: usize = 300;

/// The distribution at the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bernoulli,
    Categorical,
    Gaussian,
}

/// A random problem, and everything that an estimator is made of, for one batch.
pub(super) struct Scene {
    pub kind: Kind,
    /// Numbers a sample: K of b and z.
    pub k: usize,
    /// One row of parameters: logits; or means, then log standard deviations.
    pub parameters: Vec<f64>,
    /// f of every outcome; of a Gaussian, coefficients.
    table: Vec<f64>,
    variate: Option<Network>,
    pub gain: AdaptiveGain,
    // `[B, K]`, `[B]` or, `g`, `[B, P]`.
    pub log_probs: Vec<f64>,
    pub probs: Vec<f64>,
    pub noise: Vec<f64>,
    pub v: Vec<f64>,
    pub z: Vec<f64>,
    pub b: Vec<u32>,
    pub bits: Vec<f64>,
    pub z_tilde: Vec<f64>,
    pub w: Vec<f64>,
    pub score: Vec<f64>,
    pub f: Vec<f64>,
    pub c: Vec<f64>,
    pub slope: Vec<f64>,
    pub c_tilde: Vec<f64>,
    pub slope_tilde: Vec<f64>,
    pub g: Vec<f64>,
}

impl Scene {
    /// A problem of the given kind, with a control variate of random weights if it is to have one.
    pub fn new(kind: Kind, variate: bool, rng: &mut EnvRng) -> Result<Self, EstimatorError> {
        let k = match kind {
            Kind::Bernoulli => 3,
            Kind::Categorical => 4,
            Kind::Gaussian => 2,
        };
        let (p, outcomes) = match kind {
            Kind::Bernoulli => (k, 1 << k),
            Kind::Categorical => (k, k),
            Kind::Gaussian => (2 * k, 3 * k),
        };
        let mut parameters: Vec<f64> = (0..p).map(|_| rng.standard_normal()).collect();
        if kind == Kind::Gaussian {
            // Standard deviations from 0.6 to 1.6 or so.
            parameters[k..].iter_mut().for_each(|l| *l *= 0.3);
        }
        let wide = || vec![0.0; BATCH * k];
        Ok(Self {
            kind,
            k,
            parameters,
            table: (0..outcomes).map(|_| 2.0 * rng.standard_normal()).collect(),
            variate: variate.then(|| Network::new(k, rng)),
            gain: AdaptiveGain::new(0.9)?,
            log_probs: wide(),
            probs: wide(),
            noise: wide(),
            v: wide(),
            z: wide(),
            b: vec![0; BATCH],
            bits: wide(),
            z_tilde: wide(),
            w: wide(),
            score: vec![0.0; BATCH * p],
            f: vec![0.0; BATCH],
            c: vec![0.0; BATCH],
            slope: wide(),
            c_tilde: vec![0.0; BATCH],
            slope_tilde: wide(),
            g: vec![0.0; BATCH * p],
        })
    }

    /// The exact gradient of E\[f\].
    pub fn exact(&self) -> Result<Vec<f64>, EstimatorError> {
        Ok(match self.kind {
            Kind::Bernoulli => {
                let index = |b: &[f64]| b.iter().enumerate().map(|(i, b)| (*b as usize) << i).sum::<usize>();
                exact::bernoulli(&self.parameters, |b| self.table[index(b)])?.gradient
            }
            Kind::Categorical => exact::categorical(&self.parameters, |b| self.table[b]).gradient,
            Kind::Gaussian => self.quadrature(),
        })
    }

    /// f = Σ_k p_k a_k² + q_k sin(r_k a_k) + a_0·a_1: every term's expectation by quadrature over ε, the last by hand.
    fn quadrature(&self) -> Vec<f64> {
        let (mean, log_std) = self.parameters.split_at(self.k);
        let (nodes, step) = (4000, 16.0 / 4000.0);
        let mut gradient = vec![0.0; 2 * self.k];
        for i in 0..self.k {
            let [p, q, r] = [self.table[3 * i], self.table[3 * i + 1], self.table[3 * i + 2]];
            let std = log_std[i].exp();
            for node in 0..=nodes {
                let eps = -8.0 + node as f64 * step;
                let weight = step * (-0.5 * eps * eps).exp() / (2.0 * std::f64::consts::PI).sqrt();
                let a = mean[i] + std * eps;
                let slope = 2.0 * p * a + q * r * (r * a).cos();
                gradient[i] += weight * slope;
                gradient[self.k + i] += weight * slope * std * eps;
            }
            gradient[i] += mean[1 - i];
        }
        gradient
    }

    /// Fresh noise, samples, scores and f.
    pub fn draw(&mut self, rng: &mut EnvRng) {
        let k = self.k;
        match self.kind {
            Kind::Gaussian => self.noise.iter_mut().for_each(|x| *x = rng.standard_normal()),
            _ => self.noise.iter_mut().for_each(|x| *x = open(rng)),
        }
        self.v.iter_mut().for_each(|x| *x = open(rng));
        match self.kind {
            Kind::Bernoulli => {
                self.log_probs.copy_from_slice(&self.parameters.repeat(BATCH));
                bernoulli::relaxed_sample(&self.log_probs, &self.noise, &mut self.z);
                bernoulli::hard_sample(&self.z, &mut self.bits);
                bernoulli::score(&self.log_probs, &self.bits, &mut self.score);
                let index = |b: &[f64]| b.iter().enumerate().map(|(i, b)| (*b as usize) << i).sum::<usize>();
                for (f, b) in self.f.iter_mut().zip(self.bits.chunks_exact(k)) {
                    *f = self.table[index(b)];
                }
            }
            Kind::Categorical => {
                categorical::log_softmax(&self.parameters.repeat(BATCH), k, &mut self.log_probs);
                categorical::probabilities(&self.log_probs, &mut self.probs);
                self.sample_categorical();
            }
            Kind::Gaussian => {
                let (mean, log_std) = self.parameters.split_at(k);
                for (row, eps) in self.noise.chunks_exact(k).enumerate() {
                    let a = &mut self.z[row * k..(row + 1) * k];
                    let mut f = 1.0;
                    for i in 0..k {
                        a[i] = mean[i] + log_std[i].exp() * eps[i];
                        self.score[2 * k * row + i] = eps[i] / log_std[i].exp();
                        self.score[2 * k * row + k + i] = eps[i] * eps[i] - 1.0;
                        f *= a[i];
                    }
                    for (a, terms) in a.iter().zip(self.table.chunks_exact(3)) {
                        f += terms[0] * a * a + terms[1] * (terms[2] * a).sin();
                    }
                    self.f[row] = f;
                }
            }
        }
    }

    /// Samples, scores and f of a choice, from `log_probs`.
    pub fn sample_categorical(&mut self) {
        categorical::relaxed_sample(&self.log_probs, &self.noise, &mut self.z);
        categorical::hard_sample(&self.z, self.k, &mut self.b);
        categorical::score(&self.probs, &self.b, &mut self.score);
        for (f, &b) in self.f.iter_mut().zip(&self.b) {
            *f = self.table[b as usize];
        }
    }

    /// z̃ and w, independent of z given the outcome.
    pub fn condition(&mut self) {
        let Self { log_probs, v, z_tilde, w, .. } = self;
        match self.kind {
            Kind::Bernoulli => bernoulli::conditional_independent(log_probs, &self.bits, v, z_tilde, w),
            Kind::Categorical => categorical::conditional_independent(log_probs, &self.b, v, z_tilde, w),
            Kind::Gaussian => {}
        }
    }

    /// c at z, and at z̃.
    pub fn evaluate(&mut self) {
        if let Some(variate) = &mut self.variate {
            variate.evaluate(&self.z, &mut self.c, &mut self.slope);
            if self.kind != Kind::Gaussian {
                variate.evaluate(&self.z_tilde, &mut self.c_tilde, &mut self.slope_tilde);
            }
        }
    }

    /// RELAX with c at z and z̃, into `g`.
    pub fn relax(&mut self) {
        self.evaluate();
        let Self { kind, score, w, probs, f, c_tilde, slope, slope_tilde, g, .. } = self;
        relax(&node(*kind, score, w, probs), f, c_tilde, slope, slope_tilde, g);
    }

    /// RELAX with z̃ = z by choice of noise, into `g`.
    pub fn relax_coupled(&mut self) {
        match self.kind {
            Kind::Bernoulli => {
                bernoulli::conditional_coupled(&self.log_probs, &self.z, &self.bits, &mut self.w)
            }
            _ => categorical::conditional_coupled(&self.z, &self.b, &mut self.w),
        }
        self.z_tilde.copy_from_slice(&self.z);
        self.evaluate();
        let Self { kind, score, w, probs, f, c, slope, g, .. } = self;
        relax_coupled(&node(*kind, score, w, probs), f, c, slope, g);
    }

    /// Trains c on the variance of LAX or RELAX, on batches of its own.
    pub fn train(&mut self, coupled: bool, rng: &mut EnvRng) {
        for _ in 0..TRAINING {
            self.draw(rng);
            match (self.kind, coupled) {
                (Kind::Gaussian, _) => self.lax(),
                (_, true) => self.relax_coupled(),
                (_, false) => {
                    self.condition();
                    self.relax();
                }
            }
            let q: Vec<f64> = self.g.iter().map(|g| 2.0 * g / BATCH as f64).collect();
            let Some(mut variate) = self.variate.take() else { return };
            let zeros = vec![0.0; BATCH];
            let (mut alpha, mut beta) = (vec![0.0; BATCH], vec![0.0; BATCH * self.k]);
            if self.kind == Kind::Gaussian {
                let (eps, std) = (self.noise.clone(), self.stds());
                let (q_mean, q_log_std) = split(&q, self.k);
                let node = GaussianNode { eps: &eps, std: &std };
                lax_adjoint(&node, &q_mean, &q_log_std, &mut alpha, &mut beta);
                variate.accumulate(&self.z, &alpha, &beta);
            } else if coupled {
                relax_coupled_adjoint(&self.node(), &q, &mut alpha, &mut beta);
                variate.accumulate(&self.z, &alpha, &beta);
            } else {
                let mut beta_tilde = beta.clone();
                relax_adjoint(&self.node(), &q, &mut alpha, &mut beta, &mut beta_tilde);
                variate.accumulate(&self.z, &zeros, &beta);
                variate.accumulate(&self.z_tilde, &alpha, &beta_tilde);
            }
            variate.step(0.02);
            self.variate = Some(variate);
        }
    }

    /// The discrete node, for the library's functions.
    pub fn node(&self) -> Node<'_, f64> {
        node(self.kind, &self.score, &self.w, &self.probs)
    }

    fn stds(&self) -> Vec<f64> {
        self.parameters[self.k..].iter().map(|l| l.exp()).collect::<Vec<f64>>().repeat(BATCH)
    }

    /// LAX, into `g`.
    pub fn lax(&mut self) {
        self.evaluate();
        self.lax_at();
    }

    /// LAX with c and its slope as they are.
    pub fn lax_at(&mut self) {
        let (k, std) = (self.k, self.stds());
        let (mut mean, mut log_std) = (vec![0.0; BATCH * k], vec![0.0; BATCH * k]);
        let node = GaussianNode { eps: &self.noise, std: &std };
        lax(&node, &self.f, &self.c, &self.slope, &mut mean, &mut log_std);
        for row in 0..BATCH {
            self.g[2 * k * row..2 * k * row + k].copy_from_slice(&mean[k * row..k * (row + 1)]);
            self.g[2 * k * row + k..2 * k * (row + 1)].copy_from_slice(&log_std[k * row..k * (row + 1)]);
        }
    }
}

fn node<'a>(kind: Kind, score: &'a [f64], w: &'a [f64], probs: &'a [f64]) -> Node<'a, f64> {
    if kind == Kind::Bernoulli { Node::bernoulli(score, w) } else { Node::categorical(score, w, probs) }
}

fn open(rng: &mut EnvRng) -> f64 {
    rng.random().max(f64::MIN_POSITIVE)
}

/// Rows (means, log standard deviations) as two arrays.
fn split(rows: &[f64], k: usize) -> (Vec<f64>, Vec<f64>) {
    let part = |from: usize| rows.chunks_exact(2 * k).flat_map(|row| row[from..from + k].to_vec()).collect();
    (part(0), part(k))
}
