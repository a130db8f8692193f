//! One minimisation, a batch at a time: [`Minimizer::ask`] for points, call f, [`Minimizer::tell`] what it was.

pub mod certify;

use std::collections::HashSet;

use relax_estimators::{AdaptiveGain, Estimate, Estimator, Tuning};
use relax_nn::{Optimizer, Rule};
use relax_rng::stream::stream;

use crate::fit::{Learner, role};
use crate::options::{Function, Options};
use crate::policy::Policy;
use crate::probe::Probe;
use crate::space::{Layout, Space};
use crate::{Call, MinimizeError};

/// Decay of the gain's statistics, and of the running mean that REINFORCE takes off.
const DECAY: f64 = 0.95;

/// A minimisation whose function somebody else calls.
///
/// ```
/// use relax_minimize::{Minimizer, Options, Space};
///
/// let mut minimizer = Minimizer::new(&Space::bits(5), &Options::default())?;
/// for _ in 0..50 {
///     let points = minimizer.ask()?.to_vec();
///     let values: Vec<f64> = points.iter().map(|x| x.iter().sum::<usize>() as f64).collect();
///     minimizer.tell(&values)?;
/// }
/// assert_eq!(minimizer.best().unwrap().choices, [0; 5]);
/// # Ok::<(), relax_minimize::MinimizeError>(())
/// ```
#[derive(Debug)]
pub struct Minimizer {
    options: Options,
    estimator: Estimator,
    policy: Policy,
    adam: Optimizer<f64>,
    gain: AdaptiveGain,
    baseline: f64,
    estimate: Estimate<f64>,
    /// The batch, then the probes.
    asked: Vec<Vec<usize>>,
    probe: Probe,
    /// What probes need not look at again.
    known: HashSet<Vec<usize>>,
    batches: u64,
    best: Option<Call>,
    gradient: Vec<f64>,
    rows: Vec<f32>,
}

impl Minimizer {
    /// Every choice equally likely; c is 0.
    ///
    /// # Errors
    /// If an option cannot be used.
    pub fn new(space: &Space, options: &Options) -> Result<Self, MinimizeError> {
        options.validate()?;
        let layout = Layout::new(space);
        if options.fits() && options.surrogate.relaxed && (space.is_constrained() || layout.layers.len() > 1)
        {
            let what = "surrogate.relaxed is for spaces of bits without a constraint; leave it out here";
            return Err(MinimizeError::Option(what.into()));
        }
        let learner =
            options.fits().then(|| Learner::new(&options.surrogate, &layout, options.seed, options.noisy));
        Ok(Self {
            estimator: options.resolved(),
            adam: Optimizer::new(Rule::ADAM, layout.width),
            gradient: vec![0.0; layout.width],
            policy: Policy::new(space, learner),
            gain: AdaptiveGain::new(DECAY)?,
            baseline: 0.0,
            estimate: Estimate::new(),
            asked: Vec::new(),
            probe: Probe::new(space.variables().len(), options.surrogate.function == Function::Kernel),
            known: HashSet::new(),
            batches: 0,
            best: None,
            rows: Vec::new(),
            options: options.clone(),
        })
    }

    /// The points of the next batch, `batch` of them and up to `probe` more; the same until they are told. Points may repeat.
    ///
    /// # Errors
    /// If the constraint leaves no choice.
    pub fn ask(&mut self) -> Result<&[Vec<usize>], MinimizeError> {
        if self.asked.is_empty() {
            let mut rng = stream(self.options.seed, role::DRAW, self.batches);
            self.estimator.draw(&mut self.policy, self.options.batch, &mut rng, &mut self.estimate)?;
            let (layout, samples) = (&self.policy.layout, self.estimate.samples());
            let mut asked: Vec<_> = (0..self.options.batch).map(|row| layout.decode(samples, row)).collect();
            asked.extend(self.probes()?);
            self.asked = asked;
        }
        Ok(&self.asked)
    }

    /// Where c is lowest, as soon as it has learned something.
    fn probes(&mut self) -> Result<Vec<Vec<usize>>, MinimizeError> {
        let fitted = self.policy.learner.as_ref().is_some_and(crate::fit::Learner::is_fitted);
        let Some(best) = self.best.as_ref().filter(|_| fitted && self.options.probe > 0) else {
            return Ok(Vec::new());
        };
        let mut rng = stream(self.options.seed, role::PROBE, self.batches);
        let (policy, known) = (&mut self.policy, &self.known);
        self.probe.search(policy, &best.choices, known, self.options.probe, &mut rng)
    }

    /// f of the points asked, in their order: ĝ with the c and the gain of before, a step of the logits, and only then the fit of c.
    ///
    /// # Errors
    /// If there are not as many values as points, or one is not finite; nothing has changed then, and the batch can be told again.
    pub fn tell(&mut self, values: &[f64]) -> Result<(), MinimizeError> {
        if values.len() != self.asked.len() {
            return Err(MinimizeError::Told { asked: self.asked.len(), told: values.len() });
        }
        for (point, &value) in self.asked.iter().zip(values) {
            check(&self.policy.space, point, value)?;
        }
        let sign = if self.options.maximize { -1.0 } else { 1.0 };
        // ĝ sees the batch alone.
        for (to, value) in self.estimate.f_mut().iter_mut().zip(values) {
            *to = sign * value;
        }
        if let (Some(best), [_, ..]) = (&self.best, &values[self.options.batch..]) {
            let better = |value: &f64| sign * value < sign * best.value;
            self.probe.learn(values[self.options.batch..].iter().any(better));
        }
        for (point, &value) in self.asked.iter().zip(values) {
            if self.best.as_ref().is_none_or(|best| sign * value < sign * best.value) {
                self.best = Some(Call { choices: point.clone(), value });
            }
            if self.options.probe > 0 && !self.options.noisy {
                self.known.insert(point.clone());
            }
        }
        let (layout, batch) = (&self.policy.layout, self.options.batch);
        layout.encode(self.estimate.samples(), batch, &mut self.rows);
        self.asked[batch..].iter().for_each(|point| layout.push(point, &mut self.rows));
        let signed: Vec<f64> = values.iter().map(|value| sign * value).collect();
        self.step(&signed)?;
        self.batches += 1;
        self.asked.clear();
        Ok(())
    }

    /// `f`: of the batch and of the probes, which only the regression sees.
    fn step(&mut self, f: &[f64]) -> Result<(), MinimizeError> {
        self.estimate(self.gain())?;
        let Self { options, policy, estimate, .. } = self;
        self.adam.step(&mut policy.logits, &self.gradient, options.learning_rate, 1.0);
        // Everything that learns from this batch does so after it was used.
        if matches!(self.estimator, Estimator::Surrogate { .. }) {
            let (ab, bb) = estimate.surrogate_statistics();
            self.gain.update(ab, bb);
        }
        let mean = estimate.f().iter().sum::<f64>() / options.batch as f64;
        let decay = if self.batches == 0 { 0.0 } else { DECAY };
        self.baseline = decay * self.baseline + (1.0 - decay) * mean;
        if let Some(learner) = &mut policy.learner {
            learner.fit(&self.rows, f, options.seed, self.batches);
        }
        Ok(())
    }

    /// ĝ of the batch at this gain.
    fn estimate(&mut self, gain: f64) -> Result<(), MinimizeError> {
        let Self { options, estimator, policy, estimate, gradient, .. } = self;
        let mut rng = stream(options.seed, role::FREE, self.batches);
        let relaxed = matches!(estimator, Estimator::Rebar(_));
        let tuning =
            Tuning { gain: if relaxed { 1.0 } else { gain }, baseline: self.baseline, ..Tuning::default() };
        let tunings = vec![tuning; policy.layout.layers.len()];
        estimator.gradients(policy, &tunings, &mut rng, estimate)?;
        for (l, layer) in policy.layout.layers.iter().enumerate() {
            let to = &mut gradient[policy.layout.starts[l]..][..layer.width];
            to.fill(0.0);
            for row in estimate.gradient(l).chunks_exact(layer.width) {
                to.iter_mut().zip(row).for_each(|(g, r)| *g += r / options.batch as f64);
            }
        }
        Ok(())
    }

    /// The best point told so far.
    #[must_use]
    pub fn best(&self) -> Option<&Call> {
        self.best.as_ref()
    }

    /// The likeliest choice of every variable now.
    ///
    /// # Errors
    /// If the constraint leaves no choice.
    pub fn likeliest(&self) -> Result<Vec<usize>, MinimizeError> {
        self.policy.likeliest()
    }

    /// Mean over variables of the likeliest choice's probability: 1 when nothing is left to chance. Constraints are not looked at.
    #[must_use]
    pub fn certainty(&self) -> f64 {
        let of = self.probabilities();
        let likeliest = of.iter().map(|of| of.iter().copied().fold(0.0, f64::max));
        likeliest.sum::<f64>() / of.len() as f64
    }

    /// The probability of every choice now, variable by variable. Constraints are not looked at.
    #[must_use]
    pub fn probabilities(&self) -> Vec<Vec<f64>> {
        self.policy.probabilities()
    }

    /// η now: the share of c that past batches suggest, or the one that was given.
    #[must_use]
    pub fn gain(&self) -> f64 {
        self.options.surrogate.gain.unwrap_or(self.gain.gain())
    }

    /// ĝ of the batch last told, by every logit: a bit has one, a choice as many as it has options; bits come first unless there is a
    /// constraint.
    #[must_use]
    pub fn gradient(&self) -> &[f64] {
        &self.gradient
    }

    /// Batches told.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// The space.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.policy.space
    }
}

/// Refuses a value that is not finite.
pub(crate) fn check(space: &Space, point: &[usize], value: f64) -> Result<(), MinimizeError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(MinimizeError::NotFinite { point: space.describe(point), choices: point.to_vec(), value })
}
