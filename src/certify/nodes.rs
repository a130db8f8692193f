//! The estimators at one stochastic node, on random problems whose exact gradient is known by enumeration or quadrature.
//!
//! A new estimator is a line in [`ESTIMATORS`] and a function that fills `scene.g` from what else the [`Scene`] holds.

use relax_envs::EnvRng;
use relax_estimators::certify::Target;
use relax_estimators::{
    AdaptiveGain, Baseline, EstimatorError, GaussianNode, Node, bernoulli, categorical, combine, correction,
    exact, gain_statistics, lax, lax_adjoint, leave_one_out, reinforce, relax, relax_adjoint, relax_coupled,
    relax_coupled_adjoint,
};

use super::network::Network;

/// Samples of a batch, and those that share a leave-one-out baseline.
const BATCH: usize = 256;
const GROUP: usize = 4;
/// Steps of a trained control variate on the variance.
const TRAINING: usize = 300;

/// The distribution at the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bernoulli,
    Categorical,
    Gaussian,
}

/// What stands in for c.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variate {
    None,
    Fresh,
    Trained,
}

/// One line of the table.
#[derive(Clone, Copy)]
pub(super) struct Estimator {
    name: &'static str,
    kind: Kind,
    variate: Variate,
    /// Fills `scene.g`.
    estimate: fn(&mut Scene) -> Result<(), EstimatorError>,
    /// Rows of `scene.g` that depend on one another: their mean is one estimate.
    group: usize,
}

const fn row(
    name: &'static str,
    kind: Kind,
    variate: Variate,
    estimate: fn(&mut Scene) -> Result<(), EstimatorError>,
) -> Estimator {
    Estimator { name, kind, variate, estimate, group: 1 }
}

/// All estimators.
pub(super) const ESTIMATORS: &[Estimator] = &[
    row("REINFORCE", Kind::Bernoulli, Variate::None, plain),
    row("REINFORCE, constant baseline", Kind::Bernoulli, Variate::None, constant),
    Estimator { group: GROUP, ..row("REINFORCE, leave-one-out", Kind::Bernoulli, Variate::None, others) },
    row("RELAX", Kind::Bernoulli, Variate::Fresh, independent),
    row("RELAX", Kind::Bernoulli, Variate::Trained, independent),
    row("RELAX, coupled noise", Kind::Bernoulli, Variate::Fresh, coupled),
    row("RELAX, coupled noise", Kind::Bernoulli, Variate::Trained, coupled),
    row("RELAX, adaptive gain", Kind::Bernoulli, Variate::Trained, adaptive),
    row("REINFORCE", Kind::Categorical, Variate::None, plain),
    row("REINFORCE, constant baseline", Kind::Categorical, Variate::None, constant),
    Estimator { group: GROUP, ..row("REINFORCE, leave-one-out", Kind::Categorical, Variate::None, others) },
    row("RELAX", Kind::Categorical, Variate::Fresh, independent),
    row("RELAX", Kind::Categorical, Variate::Trained, independent),
    row("RELAX, coupled noise", Kind::Categorical, Variate::Fresh, coupled),
    row("RELAX, coupled noise", Kind::Categorical, Variate::Trained, coupled),
    row("RELAX, adaptive gain", Kind::Categorical, Variate::Trained, adaptive),
    row("REINFORCE", Kind::Gaussian, Variate::None, plain),
    row("REINFORCE, constant baseline", Kind::Gaussian, Variate::None, constant),
    Estimator { group: GROUP, ..row("REINFORCE, leave-one-out", Kind::Gaussian, Variate::None, others) },
    row("LAX", Kind::Gaussian, Variate::Fresh, lax_estimate),
    row("LAX", Kind::Gaussian, Variate::Trained, lax_estimate),
];

/// Known mistakes at a node: name on the command line, and what is made of it.
pub(super) const BUGS: &[(&str, &str, Estimator)] = &[
    (
        "wrong-z-tilde",
        "z̃ is drawn as if it were not conditioned on the action",
        row("RELAX with an unconditional z̃", Kind::Categorical, Variate::Trained, wrong_z_tilde),
    ),
    (
        "fresh-action",
        "c is evaluated at another action than the one taken",
        row("LAX at a fresh action", Kind::Gaussian, Variate::Trained, fresh_action),
    ),
    (
        "missing-w",
        "the derivative of z̃ by the parameters is taken for 1",
        row("RELAX without w", Kind::Categorical, Variate::Trained, missing_w),
    ),
    (
        "raw-logits",
        "logits are used where log-probabilities belong",
        row("RELAX on raw logits", Kind::Categorical, Variate::Trained, raw_logits),
    ),
];

/// A random problem, and everything that an estimator is made of, for one batch.
struct Scene {
    kind: Kind,
    /// Numbers a sample: K of b and z.
    k: usize,
    /// One row of parameters: logits; or means, then log standard deviations.
    parameters: Vec<f64>,
    /// f of every outcome; of a Gaussian, coefficients.
    table: Vec<f64>,
    variate: Option<Network>,
    gain: AdaptiveGain,
    // `[B, K]`, `[B]` or, `g`, `[B, P]`.
    log_probs: Vec<f64>,
    probs: Vec<f64>,
    noise: Vec<f64>,
    v: Vec<f64>,
    z: Vec<f64>,
    b: Vec<u32>,
    bits: Vec<f64>,
    z_tilde: Vec<f64>,
    w: Vec<f64>,
    score: Vec<f64>,
    f: Vec<f64>,
    c: Vec<f64>,
    slope: Vec<f64>,
    c_tilde: Vec<f64>,
    slope_tilde: Vec<f64>,
    g: Vec<f64>,
}

impl Scene {
    fn new(kind: Kind, variate: Variate, rng: &mut EnvRng) -> Result<Self, EstimatorError> {
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
            variate: (variate != Variate::None).then(|| Network::new(k, rng)),
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
    fn exact(&self) -> Result<Vec<f64>, EstimatorError> {
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
    fn draw(&mut self, rng: &mut EnvRng) {
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

    fn sample_categorical(&mut self) {
        categorical::relaxed_sample(&self.log_probs, &self.noise, &mut self.z);
        categorical::hard_sample(&self.z, self.k, &mut self.b);
        categorical::score(&self.probs, &self.b, &mut self.score);
        for (f, &b) in self.f.iter_mut().zip(&self.b) {
            *f = self.table[b as usize];
        }
    }

    /// z̃ and w, independent of z given the outcome.
    fn condition(&mut self) {
        let Self { log_probs, v, z_tilde, w, .. } = self;
        match self.kind {
            Kind::Bernoulli => bernoulli::conditional_independent(log_probs, &self.bits, v, z_tilde, w),
            Kind::Categorical => categorical::conditional_independent(log_probs, &self.b, v, z_tilde, w),
            Kind::Gaussian => {}
        }
    }

    /// c at z, and at z̃.
    fn evaluate(&mut self) {
        if let Some(variate) = &mut self.variate {
            variate.evaluate(&self.z, &mut self.c, &mut self.slope);
            if self.kind != Kind::Gaussian {
                variate.evaluate(&self.z_tilde, &mut self.c_tilde, &mut self.slope_tilde);
            }
        }
    }

    fn relax(&mut self) {
        self.evaluate();
        let Self { kind, score, w, probs, f, c_tilde, slope, slope_tilde, g, .. } = self;
        let node = if *kind == Kind::Bernoulli {
            Node::bernoulli(score, w)
        } else {
            Node::categorical(score, w, probs)
        };
        relax(&node, f, c_tilde, slope, slope_tilde, g);
    }

    /// Trains c on the variance of its own estimator, on batches of its own.
    fn train(
        &mut self,
        estimate: fn(&mut Self) -> Result<(), EstimatorError>,
        rng: &mut EnvRng,
    ) -> Result<(), EstimatorError> {
        for _ in 0..TRAINING {
            self.draw(rng);
            estimate(self)?;
            let q: Vec<f64> = self.g.iter().map(|g| 2.0 * g / BATCH as f64).collect();
            let Some(mut variate) = self.variate.take() else { return Ok(()) };
            let zeros = vec![0.0; BATCH];
            let (mut alpha, mut beta) = (vec![0.0; BATCH], vec![0.0; BATCH * self.k]);
            if self.kind == Kind::Gaussian {
                let (eps, std) = (self.noise.clone(), self.stds());
                let (q_mean, q_log_std) = split(&q, self.k);
                let node = GaussianNode { eps: &eps, std: &std };
                lax_adjoint(&node, &q_mean, &q_log_std, &mut alpha, &mut beta);
                variate.accumulate(&self.z, &alpha, &beta);
            } else {
                let node = if self.kind == Kind::Bernoulli {
                    Node::bernoulli(&self.score, &self.w)
                } else {
                    Node::categorical(&self.score, &self.w, &self.probs)
                };
                if std::ptr::fn_addr_eq(estimate, coupled as fn(&mut Self) -> Result<(), EstimatorError>) {
                    relax_coupled_adjoint(&node, &q, &mut alpha, &mut beta);
                    variate.accumulate(&self.z, &alpha, &beta);
                } else {
                    let mut beta_tilde = beta.clone();
                    relax_adjoint(&node, &q, &mut alpha, &mut beta, &mut beta_tilde);
                    variate.accumulate(&self.z, &zeros, &beta);
                    variate.accumulate(&self.z_tilde, &alpha, &beta_tilde);
                }
            }
            variate.step(0.02);
            self.variate = Some(variate);
        }
        Ok(())
    }

    fn stds(&self) -> Vec<f64> {
        self.parameters[self.k..].iter().map(|l| l.exp()).collect::<Vec<f64>>().repeat(BATCH)
    }

    fn lax_at(&mut self) {
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

fn open(rng: &mut EnvRng) -> f64 {
    rng.random().max(f64::MIN_POSITIVE)
}

/// Rows (means, log standard deviations) as two arrays.
fn split(rows: &[f64], k: usize) -> (Vec<f64>, Vec<f64>) {
    let part = |from: usize| rows.chunks_exact(2 * k).flat_map(|row| row[from..from + k].to_vec()).collect();
    (part(0), part(k))
}

fn plain(s: &mut Scene) -> Result<(), EstimatorError> {
    reinforce(&s.score, &s.f, Baseline::None, &mut s.g);
    Ok(())
}

fn constant(s: &mut Scene) -> Result<(), EstimatorError> {
    reinforce(&s.score, &s.f, Baseline::Constant(0.7), &mut s.g);
    Ok(())
}

fn others(s: &mut Scene) -> Result<(), EstimatorError> {
    let mut baseline = vec![0.0; BATCH];
    leave_one_out(&s.f, GROUP, &mut baseline)?;
    reinforce(&s.score, &s.f, Baseline::Values(&baseline), &mut s.g);
    Ok(())
}

fn independent(s: &mut Scene) -> Result<(), EstimatorError> {
    s.condition();
    s.relax();
    Ok(())
}

fn coupled(s: &mut Scene) -> Result<(), EstimatorError> {
    match s.kind {
        Kind::Bernoulli => bernoulli::conditional_coupled(&s.log_probs, &s.z, &s.bits, &mut s.w),
        _ => categorical::conditional_coupled(&s.z, &s.b, &mut s.w),
    }
    s.z_tilde.copy_from_slice(&s.z);
    s.evaluate();
    let Scene { kind, score, w, probs, f, c, slope, g, .. } = s;
    let node =
        if *kind == Kind::Bernoulli { Node::bernoulli(score, w) } else { Node::categorical(score, w, probs) };
    relax_coupled(&node, f, c, slope, g);
    Ok(())
}

/// The gain is the one that earlier batches gave.
fn adaptive(s: &mut Scene) -> Result<(), EstimatorError> {
    s.condition();
    s.evaluate();
    let (mut a, mut b) = (vec![0.0; s.g.len()], vec![0.0; s.g.len()]);
    reinforce(&s.score, &s.f, Baseline::None, &mut a);
    let node = if s.kind == Kind::Bernoulli {
        Node::bernoulli(&s.score, &s.w)
    } else {
        Node::categorical(&s.score, &s.w, &s.probs)
    };
    correction(&node, &s.c_tilde, &s.slope, &s.slope_tilde, &mut b);
    combine(&a, &b, s.gain.gain(), &mut s.g);
    let (ab, bb) = gain_statistics(&a, &b);
    s.gain.update(ab, bb);
    Ok(())
}

fn lax_estimate(s: &mut Scene) -> Result<(), EstimatorError> {
    s.evaluate();
    s.lax_at();
    Ok(())
}

fn wrong_z_tilde(s: &mut Scene) -> Result<(), EstimatorError> {
    s.condition();
    let k = s.k;
    for (i, &b) in s.b.iter().enumerate() {
        let (row, b) = (i * k..(i + 1) * k, b as usize);
        let e: Vec<f64> = s.v[row.clone()].iter().map(|v| -v.ln()).collect();
        let z_b = s.log_probs[row.start + b] - e[b].ln();
        for (j, z) in s.z_tilde[row.clone()].iter_mut().enumerate() {
            let other = -(e[j] / s.probs[row.start + j] + (-z_b).exp()).ln();
            *z = if j == b { z_b } else { other };
        }
    }
    s.relax();
    Ok(())
}

fn missing_w(s: &mut Scene) -> Result<(), EstimatorError> {
    s.condition();
    s.w.fill(1.0);
    s.relax();
    Ok(())
}

fn raw_logits(s: &mut Scene) -> Result<(), EstimatorError> {
    s.log_probs.copy_from_slice(&s.parameters.repeat(BATCH));
    s.sample_categorical();
    s.condition();
    s.relax();
    Ok(())
}

fn fresh_action(s: &mut Scene) -> Result<(), EstimatorError> {
    let (taken, k) = (s.z.clone(), s.k);
    let (mean, log_std) = s.parameters.split_at(k);
    for (row, v) in s.z.chunks_exact_mut(k).zip(s.v.chunks_exact(k)) {
        for i in 0..k {
            // A logistic number in place of a normal one: another action, that is all that matters.
            row[i] = mean[i] + 0.55 * log_std[i].exp() * (v[i] / (1.0 - v[i])).ln();
        }
    }
    s.evaluate();
    s.z = taken;
    s.lax_at();
    Ok(())
}

/// An estimator on a random problem.
pub(super) struct NodeTarget {
    name: String,
    estimator: Estimator,
    scene: Scene,
    exact: Vec<f64>,
    rng: EnvRng,
}

impl NodeTarget {
    /// The problem is named by `seed`, and with it every random number.
    pub fn new(estimator: Estimator, seed: u64) -> Result<Self, EstimatorError> {
        let mut rng = EnvRng::from_seed_sequence(seed, &[0x0de]);
        let mut scene = Scene::new(estimator.kind, estimator.variate, &mut rng)?;
        if estimator.variate == Variate::Trained {
            // Mistakes are made with a control variate that was trained without them.
            let train: fn(&mut Scene) -> Result<(), EstimatorError> = match estimator.kind {
                Kind::Gaussian => lax_estimate,
                _ if std::ptr::fn_addr_eq(
                    estimator.estimate,
                    coupled as fn(&mut Scene) -> Result<(), EstimatorError>,
                ) =>
                {
                    coupled
                }
                _ => independent,
            };
            scene.train(train, &mut rng)?;
        }
        let variate = match estimator.variate {
            Variate::None => "",
            Variate::Fresh => ", fresh c",
            Variate::Trained => ", trained c",
        };
        let kind = match estimator.kind {
            Kind::Bernoulli => "3 Bernoullis",
            Kind::Categorical => "4-way choice",
            Kind::Gaussian => "2 Gaussians",
        };
        let name = format!("{}{variate} on {kind}", estimator.name);
        Ok(Self { name, estimator, exact: scene.exact()?, scene, rng })
    }
}

impl Target for NodeTarget {
    type Error = EstimatorError;

    fn name(&self) -> &str {
        &self.name
    }

    fn exact(&self) -> &[f64] {
        &self.exact
    }

    fn sample(&mut self, rows: &mut Vec<f64>) -> Result<(), EstimatorError> {
        self.scene.draw(&mut self.rng);
        (self.estimator.estimate)(&mut self.scene)?;
        let (p, group) = (self.exact.len(), self.estimator.group);
        for chunk in self.scene.g.chunks_exact(p * group) {
            rows.extend((0..p).map(|i| chunk.iter().skip(i).step_by(p).sum::<f64>() / group as f64));
        }
        Ok(())
    }
}
