//! The surrogate at bits, a choice, several choices, or both, on random tables enumerated exactly: with c of random weights, regressed,
//! and regressed where the node was before it moved. Its relaxed form, and its mistakes.

use relax_envs::EnvRng;
use relax_estimators::certify::Target;
use relax_estimators::{
    AdaptiveGain, Coupling, Estimate, Estimator, EstimatorError, Family, Layer, Model, Place, Tuning,
};

use super::network::Network;

/// Rows that share their logits: one estimate each.
const GROUP: usize = 4;
/// Batches of free samples.
const PASSES: usize = 8;
/// Rows of a batch, those of a mistake that looks at its batch aside.
const ROWS: usize = 64 * GROUP;
/// Regression steps.
const STEPS: usize = 400;
/// Steps, and their size, in which a mistake fits c of random weights to the batch that it is then used on.
const EAGER: (usize, f64) = (30, 0.05);

/// Where c comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// Random weights.
    Fresh,
    /// Regressed on calls at the node's logits.
    Trained,
    /// Regressed on calls at other logits.
    Stale,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    None,
    FittedFirst,
    GainOfTheBatch,
    OtherSamples,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    layers: &'static [Layer],
    fit: Fit,
    form: Form,
    mistake: Mistake,
}

/// How c is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Free samples, at gain 1.
    Free,
    /// Free samples, at the gain of past batches.
    Adaptive,
    /// c at a relaxed sample and at one given b in place of free samples: RELAX with a regressed c.
    Relaxed,
}

const BITS: &[Layer] = &[Layer::bernoulli(3)];
const CHOICE: &[Layer] = &[Layer::categorical(4)];
const FACTORED: &[Layer] = &[Layer::categorical(3), Layer::categorical(2), Layer::categorical(3)];
const MIXED: &[Layer] = &[Layer::bernoulli(2), Layer::categorical(3)];

const fn case(layers: &'static [Layer], fit: Fit, form: Form) -> Case {
    Case { layers, fit, form, mistake: Mistake::None }
}

pub(super) const CASES: [Case; 16] = [
    case(BITS, Fit::Fresh, Form::Free),
    case(BITS, Fit::Trained, Form::Free),
    case(BITS, Fit::Stale, Form::Adaptive),
    case(CHOICE, Fit::Fresh, Form::Free),
    case(CHOICE, Fit::Trained, Form::Adaptive),
    case(CHOICE, Fit::Stale, Form::Free),
    case(FACTORED, Fit::Fresh, Form::Free),
    case(FACTORED, Fit::Trained, Form::Free),
    case(FACTORED, Fit::Stale, Form::Adaptive),
    case(MIXED, Fit::Fresh, Form::Adaptive),
    case(MIXED, Fit::Trained, Form::Free),
    case(MIXED, Fit::Stale, Form::Free),
    case(BITS, Fit::Fresh, Form::Relaxed),
    case(BITS, Fit::Trained, Form::Relaxed),
    case(CHOICE, Fit::Trained, Form::Relaxed),
    case(CHOICE, Fit::Stale, Form::Relaxed),
];

const fn wrong(fit: Fit, mistake: Mistake) -> Case {
    Case { layers: BITS, fit, form: Form::Free, mistake }
}

/// Mistakes: name, what it is, and the case. Taking the paid samples for the free ones is none: c drops out and leave-one-out is
/// left, which a test says.
pub(super) const BUGS: [(&str, &str, Case); 3] = [
    (
        "surrogate-fitted-first",
        "the surrogate is fitted to a batch before that batch is used",
        wrong(Fit::Fresh, Mistake::FittedFirst),
    ),
    (
        "surrogate-gain-of-the-batch",
        "the surrogate's gain is the best one for the batch that it is used on",
        wrong(Fit::Trained, Mistake::GainOfTheBatch),
    ),
    (
        "surrogate-other-samples",
        "c is taken off at other samples than those f was called at",
        wrong(Fit::Trained, Mistake::OtherSamples),
    ),
];

/// Independent layers, f a table over all outcomes, and c.
struct Scene {
    layers: &'static [Layer],
    logits: Vec<Vec<f64>>,
    table: Vec<f64>,
    c: Network,
    /// Rows as c reads them.
    rows: Vec<f64>,
    slope: Vec<f64>,
    /// Evaluates c at the rows in the opposite order.
    reversed: bool,
}

impl Scene {
    /// Rows of all layers side by side, and which entry of the table each is.
    fn read(&mut self, samples: &[Vec<f64>], rows: usize) -> Vec<usize> {
        self.rows.clear();
        let mut index = vec![0; rows];
        for (row, index) in index.iter_mut().enumerate() {
            let mut scale = 1;
            for (layer, samples) in self.layers.iter().zip(samples) {
                let x = &samples[row * layer.width..(row + 1) * layer.width];
                self.rows.extend_from_slice(x);
                match layer.family {
                    Family::Bernoulli => {
                        for &bit in x {
                            *index += scale * bit as usize;
                            scale *= 2;
                        }
                    }
                    Family::Categorical => {
                        *index += scale * x.iter().position(|&x| x == 1.0).unwrap_or(0);
                        scale *= layer.width;
                    }
                }
            }
        }
        index
    }

    /// Σ over all outcomes of p·f·s, logit by logit.
    fn exact(&self) -> Vec<f64> {
        let mut gradient = vec![0.0; self.logits.iter().map(Vec::len).sum()];
        let mut score = Vec::new();
        for (outcome, f) in self.table.iter().enumerate() {
            let (mut rest, mut p) = (outcome, 1.0);
            score.clear();
            for (layer, logits) in self.layers.iter().zip(&self.logits) {
                match layer.family {
                    Family::Bernoulli => {
                        for logit in logits {
                            let (on, theta) = (rest % 2, 1.0 / (1.0 + (-logit).exp()));
                            p *= if on == 1 { theta } else { 1.0 - theta };
                            score.push(on as f64 - theta);
                            rest /= 2;
                        }
                    }
                    Family::Categorical => {
                        let total: f64 = logits.iter().map(|l| l.exp()).sum();
                        let chosen = rest % logits.len();
                        p *= logits[chosen].exp() / total;
                        let of = |(k, l): (usize, &f64)| f64::from(u8::from(k == chosen)) - l.exp() / total;
                        score.extend(logits.iter().enumerate().map(of));
                        rest /= logits.len();
                    }
                }
            }
            gradient.iter_mut().zip(&score).for_each(|(g, s)| *g += p * f * s);
        }
        gradient
    }

    /// Steps of regression on `rows` fresh samples each.
    fn regress(&mut self, steps: usize, rng: &mut EnvRng) -> Result<(), EstimatorError> {
        let (mut estimate, rows) = (Estimate::new(), 64);
        for _ in 0..steps {
            Estimator::Reinforce.draw(self, rows, rng, &mut estimate)?;
            let index = self.read(estimate.samples(), rows);
            self.descend(&index, 0.02);
        }
        Ok(())
    }

    /// A step down the squared error at the rows last read.
    fn descend(&mut self, index: &[usize], learning_rate: f64) {
        let (mut c, rows) = (vec![0.0; index.len()], std::mem::take(&mut self.rows));
        self.slope.resize(rows.len(), 0.0);
        self.c.evaluate(&rows, &mut c, &mut self.slope);
        let scale = 2.0 / index.len() as f64;
        let alpha: Vec<f64> = c.iter().zip(index).map(|(c, &i)| scale * (c - self.table[i])).collect();
        self.c.accumulate(&rows, &alpha, &vec![0.0; rows.len()]);
        self.c.step(learning_rate);
        self.rows = rows;
    }
}

impl Model<f64> for Scene {
    type Error = EstimatorError;

    fn layers(&self) -> &[Layer] {
        self.layers
    }

    fn logits(&mut self, layer: usize, _: &[Vec<f64>], logits: &mut [f64]) -> Result<(), EstimatorError> {
        let own = &self.logits[layer];
        logits.chunks_exact_mut(own.len()).for_each(|row| row.copy_from_slice(own));
        Ok(())
    }

    fn value(&mut self, samples: &[Vec<f64>], f: &mut [f64]) -> Result<(), EstimatorError> {
        let index = self.read(samples, f.len());
        f.iter_mut().zip(index).for_each(|(f, i)| *f = self.table[i]);
        Ok(())
    }

    /// c in place of f, for the relaxed form.
    fn value_and_gradient(
        &mut self,
        _: Place<'_, f64>,
        x: &[f64],
        f: &mut [f64],
        gradient: &mut [f64],
    ) -> Result<(), EstimatorError> {
        self.c.evaluate(x, f, gradient);
        Ok(())
    }

    fn surrogate(&mut self, samples: &[Vec<f64>], c: &mut [f64]) -> Result<(), EstimatorError> {
        self.read(samples, c.len());
        self.slope.resize(self.rows.len(), 0.0);
        self.c.evaluate(&self.rows, c, &mut self.slope);
        if std::mem::take(&mut self.reversed) {
            c.reverse();
        }
        Ok(())
    }
}

/// The surrogate on a random problem.
pub(super) struct SurrogateTarget {
    name: String,
    case: Case,
    scene: Scene,
    gain: AdaptiveGain,
    estimate: Estimate<f64>,
    exact: Vec<f64>,
    /// c before any mistake fits it.
    first: Network,
    rng: EnvRng,
}

impl SurrogateTarget {
    /// The problem is named by `seed`, and with it every random number.
    pub fn new(case: Case, seed: u64) -> Result<Self, EstimatorError> {
        let mut rng = EnvRng::from_seed_sequence(seed, &[0x5e4]);
        let mut draw = |n: usize| (0..n).map(|_| rng.standard_normal()).collect::<Vec<f64>>();
        let outcomes = case.layers.iter().map(|layer| match layer.family {
            Family::Bernoulli => 1 << layer.width,
            Family::Categorical => layer.width,
        });
        let table = draw(outcomes.product()).into_iter().map(|f| 2.0 * f).collect();
        let logits: Vec<Vec<f64>> = case.layers.iter().map(|layer| draw(layer.width)).collect();
        let columns = case.layers.iter().map(|layer| layer.width).sum();
        let c = Network::new(columns, &mut rng);
        let (layers, reversed) = (case.layers, false);
        let mut scene = Scene { layers, logits, table, c, rows: Vec::new(), slope: Vec::new(), reversed };
        match case.fit {
            Fit::Fresh => {}
            Fit::Trained => scene.regress(STEPS, &mut rng)?,
            Fit::Stale => {
                let here = scene.logits.clone();
                scene.logits.iter_mut().flatten().for_each(|l| *l = 1.0 - *l);
                scene.regress(STEPS, &mut rng)?;
                scene.logits = here;
            }
        }
        let fit = match case.fit {
            Fit::Fresh => "fresh c",
            Fit::Trained => "trained c",
            Fit::Stale => "stale c",
        };
        let form = match case.form {
            Form::Free => "",
            Form::Adaptive => ", adaptive gain",
            Form::Relaxed => ", relaxed",
        };
        let node = match case.layers {
            [Layer { family: Family::Bernoulli, .. }] => "3 Bernoullis",
            [_] => "4-way choice",
            [_, _, _] => "choices of 3, 2 and 3",
            _ => "2 Bernoullis and a 3-way choice",
        };
        Ok(Self {
            name: format!("surrogate, {fit}{form} on {node}"),
            case,
            exact: scene.exact(),
            first: scene.c.clone(),
            scene,
            gain: AdaptiveGain::new(0.9)?,
            estimate: Estimate::new(),
            rng,
        })
    }
}

impl Target for SurrogateTarget {
    type Error = EstimatorError;

    fn name(&self) -> &str {
        &self.name
    }

    fn exact(&self) -> &[f64] {
        &self.exact
    }

    fn sample(&mut self, rows: &mut Vec<f64>) -> Result<(), EstimatorError> {
        let Self { case, scene, gain, estimate, first, rng, .. } = self;
        let looks = matches!(case.mistake, Mistake::FittedFirst | Mistake::GainOfTheBatch);
        let batch = if looks { GROUP } else { ROWS };
        let estimator = match case.form {
            Form::Relaxed => Estimator::Rebar(Coupling::Independent),
            _ => Estimator::Surrogate { group: GROUP, passes: PASSES },
        };
        estimator.draw(scene, batch, rng, estimate)?;
        let index = scene.read(estimate.samples(), batch);
        for (f, &i) in estimate.f_mut().iter_mut().zip(&index) {
            *f = scene.table[i];
        }
        if case.mistake == Mistake::FittedFirst {
            scene.c.clone_from(first);
            for _ in 0..EAGER.0 {
                scene.descend(&index, EAGER.1);
            }
        }
        scene.reversed = case.mistake == Mistake::OtherSamples;
        let mut eta = if case.form == Form::Adaptive { gain.gain() } else { 1.0 };
        let after = rng.clone();
        let tunings = |gain: f64| vec![Tuning { gain, ..Tuning::default() }; case.layers.len()];
        estimator.gradients(scene, &tunings(eta), rng, estimate)?;
        let (ab, bb) = match case.form {
            Form::Relaxed => (0.0, 0.0),
            _ => estimate.surrogate_statistics(),
        };
        if case.mistake == Mistake::GainOfTheBatch {
            eta = if bb > 0.0 { ab / bb } else { 0.0 };
            estimator.gradients(scene, &tunings(eta), &mut after.clone(), estimate)?;
        }
        gain.update(ab, bb);
        for group in 0..batch / GROUP {
            for (l, layer) in case.layers.iter().enumerate() {
                let k = layer.width;
                let own = &estimate.gradient(l)[group * GROUP * k..(group + 1) * GROUP * k];
                rows.extend((0..k).map(|i| own.iter().skip(i).step_by(k).sum::<f64>() / GROUP as f64));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use relax_estimators::{FreeGradient, surrogate_correction};

    /// With the paid samples in place of the free ones c drops out: leave-one-out, to rounding.
    #[test]
    fn the_same_samples_for_both_terms_gain_nothing() {
        let (score, c) = ([0.3_f64, -0.7, 0.3, 0.3], [5.0, -1.0, 2.5, 0.5]);
        let (mut baseline, mut free, mut correction) = ([0.0; 4], [0.0], [0.0; 4]);
        relax_estimators::leave_one_out(&c, 4, &mut baseline).unwrap();
        let mut sums = FreeGradient::default();
        sums.begin(1, 1);
        sums.add(&score, &c, 4);
        sums.finish(&mut free).unwrap();
        surrogate_correction(&score, &c, &baseline, &free, 4, &mut correction);
        assert!(correction.iter().sum::<f64>().abs() < 1e-14, "{correction:?}");
    }
}
