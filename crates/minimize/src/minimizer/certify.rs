//! Is a minimisation's gradient unbiased, whatever its c? The estimates of a [`Minimizer`] whose logits and c stand still, against the
//! gradient that is enumerated over all points.
//!
//! ```
//! use relax_estimators::certify::{Settings, check};
//! use relax_minimize::certify::{Age, Case, MinimizeTarget};
//! use relax_minimize::{Function, Space};
//!
//! let case = Case { function: Function::Kernel, ..Case::default() };
//! let mut target = MinimizeTarget::new("a kernel".into(), &Space::bits(4), &case, 0)?;
//! let settings = Settings { detectable: 0.3, ..Settings::default() };
//! assert!(check(&mut target, &settings)?.p_value > 1e-3);
//! # Ok::<(), relax_minimize::MinimizeError>(())
//! ```

use relax_estimators::certify::Target;
use relax_rng::EnvRng;

use super::{Function, Minimizer, Options, Policy, Space};
use crate::MinimizeError;
use crate::options::Surrogate;

/// Points of a batch, and free samples for it.
const BATCH: usize = 4;
const FREE: usize = 32;
/// Batches from which c is learned.
const LEARNED: usize = 4;
/// Times that a mistake shows a batch to c before it is used.
const EAGER: usize = 30;
/// Names the problem beside the seed.
const PROBLEM: u32 = 0x5e5;

/// What c has been told before it stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Age {
    /// Numbers that have nothing to do with f.
    Fresh,
    /// Calls of f at the logits where it is used.
    #[default]
    Trained,
    /// Calls of f at other logits.
    Stale,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mistake {
    /// Nothing.
    #[default]
    None,
    /// c is told of a batch before that batch is used.
    FittedFirst,
    /// The gain is the best one for the batch that it is used on.
    GainOfTheBatch,
    /// c is taken off at other points than those f was called at.
    OtherPoints,
}

/// What is certified.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// c.
    pub function: Function,
    /// What c has been told.
    pub age: Age,
    /// What goes wrong.
    pub mistake: Mistake,
    /// η: left out, the one that past batches suggest.
    pub gain: Option<f64>,
}

impl Default for Case {
    /// A kernel, told of calls at the logits where it is used, at the gain of past batches.
    fn default() -> Self {
        Self { function: Function::Kernel, age: Age::Trained, mistake: Mistake::None, gain: None }
    }
}

/// A minimisation of a random function.
#[derive(Debug)]
pub struct MinimizeTarget {
    name: String,
    case: Case,
    minimizer: Minimizer,
    table: Vec<f64>,
    exact: Vec<f64>,
}

impl MinimizeTarget {
    /// `seed` names f, the logits and all noise. Every point of the space is enumerated.
    ///
    /// # Errors
    /// If c cannot be used, or a constraint leaves no choice.
    pub fn new(name: String, space: &Space, case: &Case, seed: u64) -> Result<Self, MinimizeError> {
        let Case { function, gain, .. } = case.clone();
        let surrogate = Surrogate { function, gain, free: FREE, ..Surrogate::default() };
        let options = Options { seed, batch: BATCH, probe: 0, surrogate, ..Options::default() };
        let mut minimizer = Minimizer::new(space, &options)?;
        let points = space.variables().iter().map(|v| v.choices).product();
        let mut rng = EnvRng::from_seed_sequence(seed, &[PROBLEM]);
        let mut random = |n: usize| (0..n).map(|_| rng.standard_normal()).collect::<Vec<f64>>();
        let (table, other) = (random(points), random(points));
        let logits = random(minimizer.policy.logits.len());
        let at = match case.age {
            Age::Stale => logits.iter().map(|l| 1.0 - l).collect(),
            _ => logits.clone(),
        };
        for _ in 0..LEARNED {
            minimizer.policy.logits.clone_from(&at);
            let told = if case.age == Age::Fresh { &other } else { &table };
            let values: Vec<f64> = minimizer.ask()?.iter().map(|x| told[index(space, x)]).collect();
            minimizer.tell(&values)?;
        }
        minimizer.policy.logits = logits;
        let exact = exact(&mut minimizer.policy, &table);
        Ok(Self { name, case: case.clone(), minimizer, table, exact })
    }
}

impl Target for MinimizeTarget {
    type Error = MinimizeError;

    fn name(&self) -> &str {
        &self.name
    }

    fn exact(&self) -> &[f64] {
        &self.exact
    }

    fn sample(&mut self, rows: &mut Vec<f64>) -> Result<(), MinimizeError> {
        let Self { case, minimizer, table, .. } = self;
        minimizer.ask()?;
        let space = &minimizer.policy.space;
        let f: Vec<f64> = minimizer.asked.iter().map(|x| table[index(space, x)]).collect();
        minimizer.estimate.f_mut().copy_from_slice(&f);
        let before = (case.mistake == Mistake::FittedFirst).then(|| minimizer.policy.learner.clone());
        if let (Some(_), Some(learner)) = (&before, &mut minimizer.policy.learner) {
            minimizer.policy.layout.encode(minimizer.estimate.samples(), BATCH, &mut minimizer.rows);
            for _ in 0..EAGER {
                learner.fit(&minimizer.rows, &f, 0, 0);
            }
        }
        minimizer.policy.misread = case.mistake == Mistake::OtherPoints;
        minimizer.estimate(minimizer.gain())?;
        let (ab, bb) = minimizer.estimate.surrogate_statistics();
        if case.mistake == Mistake::GainOfTheBatch {
            minimizer.estimate(if bb > 0.0 { ab / bb } else { 0.0 })?;
        }
        minimizer.gain.update(ab, bb);
        if let Some(before) = before {
            minimizer.policy.learner = before;
        }
        rows.extend_from_slice(&minimizer.gradient);
        minimizer.batches += 1;
        minimizer.asked.clear();
        Ok(())
    }
}

/// The point's place in a table of all of them.
fn index(space: &Space, point: &[usize]) -> usize {
    space.variables().iter().zip(point).fold(0, |index, (v, choice)| index * v.choices + choice)
}

/// Σ over all points of p·f·s, logit by logit.
fn exact(policy: &mut Policy, table: &[f64]) -> Vec<f64> {
    let mut gradient = vec![0.0; policy.logits.len()];
    for (n, f) in table.iter().enumerate() {
        let mut rest = n;
        let mut point: Vec<usize> = policy
            .space
            .variables()
            .iter()
            .rev()
            .map(|v| {
                let choice = rest % v.choices;
                rest /= v.choices;
                choice
            })
            .collect();
        point.reverse();
        let (mut p, mut score) = (1.0, vec![0.0; gradient.len()]);
        for (variable, &chosen) in point.iter().enumerate() {
            let place = policy.layout.places[variable];
            let allowed = policy.allowed(&point[..variable]).to_vec();
            let logits = &policy.logits[place.at..place.at + place.width];
            // A bit has one logit, that of 1.
            let of = |choice: usize| if let [bit] = logits { bit * choice as f64 } else { logits[choice] };
            let weight = |choice: usize| if allowed[choice] { of(choice).exp() } else { 0.0 };
            let total: f64 = (0..allowed.len()).map(weight).sum();
            p *= weight(chosen) / total;
            for (k, score) in score[place.at..place.at + place.width].iter_mut().enumerate() {
                let choice = if place.width == 1 { 1 } else { k };
                *score = f64::from(u8::from(choice == chosen)) - weight(choice) / total;
            }
        }
        gradient.iter_mut().zip(&score).for_each(|(g, s)| *g += p * f * s);
    }
    gradient
}
