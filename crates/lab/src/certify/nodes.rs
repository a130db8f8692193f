//! The estimators at one stochastic node, on random problems whose exact gradient is known by enumeration or quadrature.
//!
//! A new estimator is a line in [`ESTIMATORS`] and a function that fills `scene.g` from what else the [`Scene`] holds.

use relax_envs::EnvRng;
use relax_estimators::certify::Target;
use relax_estimators::{
    Baseline, EstimatorError, combine, correction, gain_statistics, leave_one_out, reinforce,
};

use super::scene::{BATCH, Kind, Scene};

/// Samples that share a leave-one-out baseline.
const GROUP: usize = 4;

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
    /// Whether c is trained for coupled noise.
    coupled: bool,
    /// Rows of `scene.g` that depend on one another: their mean is one estimate.
    group: usize,
}

const fn row(
    name: &'static str,
    kind: Kind,
    variate: Variate,
    estimate: fn(&mut Scene) -> Result<(), EstimatorError>,
) -> Estimator {
    Estimator { name, kind, variate, estimate, coupled: false, group: 1 }
}

/// All estimators.
pub(super) const ESTIMATORS: &[Estimator] = &[
    row("REINFORCE", Kind::Bernoulli, Variate::None, plain),
    row("REINFORCE, constant baseline", Kind::Bernoulli, Variate::None, constant),
    Estimator { group: GROUP, ..row("REINFORCE, leave-one-out", Kind::Bernoulli, Variate::None, others) },
    row("RELAX", Kind::Bernoulli, Variate::Fresh, independent),
    row("RELAX", Kind::Bernoulli, Variate::Trained, independent),
    row("RELAX, coupled noise", Kind::Bernoulli, Variate::Fresh, coupled),
    Estimator { coupled: true, ..row("RELAX, coupled noise", Kind::Bernoulli, Variate::Trained, coupled) },
    row("RELAX, adaptive gain", Kind::Bernoulli, Variate::Trained, adaptive),
    row("REINFORCE", Kind::Categorical, Variate::None, plain),
    row("REINFORCE, constant baseline", Kind::Categorical, Variate::None, constant),
    Estimator { group: GROUP, ..row("REINFORCE, leave-one-out", Kind::Categorical, Variate::None, others) },
    row("RELAX", Kind::Categorical, Variate::Fresh, independent),
    row("RELAX", Kind::Categorical, Variate::Trained, independent),
    row("RELAX, coupled noise", Kind::Categorical, Variate::Fresh, coupled),
    Estimator { coupled: true, ..row("RELAX, coupled noise", Kind::Categorical, Variate::Trained, coupled) },
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
    s.relax_coupled();
    Ok(())
}

/// The gain is the one that earlier batches gave.
fn adaptive(s: &mut Scene) -> Result<(), EstimatorError> {
    s.condition();
    s.evaluate();
    let (mut a, mut b) = (vec![0.0; s.g.len()], vec![0.0; s.g.len()]);
    reinforce(&s.score, &s.f, Baseline::None, &mut a);
    correction(&s.node(), &s.c_tilde, &s.slope, &s.slope_tilde, &mut b);
    combine(&a, &b, s.gain.gain(), &mut s.g);
    let (ab, bb) = gain_statistics(&a, &b);
    s.gain.update(ab, bb);
    Ok(())
}

fn lax_estimate(s: &mut Scene) -> Result<(), EstimatorError> {
    s.lax();
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
        let mut scene = Scene::new(estimator.kind, estimator.variate != Variate::None, &mut rng)?;
        if estimator.variate == Variate::Trained {
            // Mistakes are made with a control variate that was trained without them.
            scene.train(estimator.coupled, &mut rng);
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
