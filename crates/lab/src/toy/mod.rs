//! The toy problem of the REBAR and RELAX papers: minimise E\[(b − t)²\] over θ, b ~ Bernoulli(θ), with every estimator.
//!
//! Tucker et al. 2017, §4.1 (t = .45); Grathwohl et al. 2018, §5.1 (t = .499). One sample a step, Adam for θ's logit and for what
//! the estimator learns. `docs/estimators.md` has the figures and says what is done differently.

mod control_variate;
mod draw;
mod problem;
mod report;

pub use draw::svg;
pub use report::{relaxation_csv, runs_csv, table};

use relax_estimators::{Coupling, Estimator};

use problem::Learner;
use relax_runtime::Error;

/// Steps whose figures the table shows.
pub const TABLE_STEPS: [u64; 4] = [500, 1000, 5000, 10_000];

/// What is run.
#[derive(Debug, Clone, PartialEq)]
pub struct ToyConfig {
    /// Which estimators, in the order of the legend.
    pub estimators: Vec<Estimator>,
    /// t, in (0, 1).
    pub target: f64,
    /// Steps of each run.
    pub steps: u64,
    /// Runs of each estimator.
    pub seeds: u64,
    /// Seed of the first run.
    pub first_seed: u64,
    /// Step size of both Adams.
    pub learning_rate: f64,
}

impl Default for ToyConfig {
    fn default() -> Self {
        let estimators = vec![
            Estimator::Reinforce,
            Estimator::Baseline,
            Estimator::LeaveOneOut { group: 2 },
            Estimator::DisArm,
            Estimator::MuProp,
            Estimator::Concrete,
            Estimator::Rebar(Coupling::Independent),
            Estimator::Relax(Coupling::Independent),
            Estimator::RelaxedRebar(Coupling::Independent),
        ];
        Self { estimators, target: 0.499, steps: 10_000, seeds: 20, first_seed: 0, learning_rate: 0.01 }
    }
}

impl ToyConfig {
    /// Checks the numbers.
    ///
    /// # Errors
    /// If one of them cannot be run; the error says which, and what would be right.
    pub fn validate(&self) -> Result<(), Error> {
        let wrong = |message: String, hint: &str| Err(Error::input(message).with_hint(hint));
        if self.estimators.is_empty() {
            return wrong("there is no estimator to run".into(), "name one, such as --estimator relax");
        }
        if self.estimators.contains(&Estimator::Nvil) {
            let message = "NVIL's baseline depends on an input, and the toy problem has none";
            return wrong(message.into(), "`baseline` learns a single number, which is NVIL here");
        }
        if self.estimators.iter().any(|estimator| estimator.needs().surrogate) {
            let message = "a constant takes all variance off one Bernoulli variable, and a surrogate would be that constant";
            return wrong(message.into(), "`baseline` learns the constant, `leave-one-out` estimates it");
        }
        if !(self.target > 0.0 && self.target < 1.0) {
            let message = format!("the target is {}, but must lie between 0 and 1", self.target);
            return wrong(message, "the papers have .45 and .499");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate <= 10.0) {
            let message = format!("the learning rate is {}, but must lie in (0, 10]", self.learning_rate);
            return wrong(message, "0.01 is usual");
        }
        if self.steps == 0 || self.seeds == 0 {
            return wrong("there must be one step and one seed at least".into(), "see `relax toy --help`");
        }
        Ok(())
    }

    /// The steps at which a run is measured: logarithmic at first, then every fortieth of the run, and those of the table.
    #[must_use]
    pub fn grid(&self) -> Vec<u64> {
        let logarithmic = (0..40).map(|i| 10_f64.powf(f64::from(i) / 6.0) as u64);
        let linear = (0..=40).map(|i| self.steps * i / 40);
        let mut grid: Vec<u64> = logarithmic.chain(linear).chain(TABLE_STEPS).collect();
        grid.retain(|&step| step <= self.steps);
        grid.sort_unstable();
        grid.dedup();
        grid
    }
}

/// A run at one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ToyPoint {
    /// Steps taken.
    pub step: u64,
    /// θ.
    pub theta: f64,
    /// E\[(b − t)²\], exactly.
    pub loss: f64,
    /// ln of the sample variance of 1000 fresh gradients; −∞ where they are all the same.
    pub log_variance: f64,
}

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub struct ToyRun {
    /// Its estimator.
    pub estimator: Estimator,
    /// Its seed.
    pub seed: u64,
    /// Its measurements, in order.
    pub points: Vec<ToyPoint>,
}

/// c(z(u)) along u, learned at θ = ½ kept fixed.
#[derive(Debug, Clone, PartialEq)]
pub struct ToyRelaxation {
    /// Of which estimator.
    pub estimator: Estimator,
    /// (u, c).
    pub points: Vec<(f64, f64)>,
}

/// Runs one estimator with one seed.
///
/// # Errors
/// If the estimator lacks something of the problem.
pub fn run(config: &ToyConfig, estimator: Estimator, seed: u64) -> Result<ToyRun, Error> {
    let failed = |error| Error::runtime(format!("{estimator}: {error}"));
    let mut learner = Learner::new(estimator, config.target, seed, config.learning_rate);
    let mut points = Vec::new();
    let mut step = 0;
    for at in config.grid() {
        while step < at {
            learner.step(true).map_err(failed)?;
            step += 1;
        }
        let theta = learner.theta();
        let loss = problem::loss(theta, config.target);
        points.push(ToyPoint { step, theta, loss, log_variance: learner.log_variance().map_err(failed)? });
    }
    Ok(ToyRun { estimator, seed, points })
}

/// The relaxations that REBAR and RELAX (and relaxed-REBAR) learn at θ = ½ kept fixed, for those among the estimators.
///
/// # Errors
/// As [`run`].
pub fn relaxations(config: &ToyConfig) -> Result<Vec<ToyRelaxation>, Error> {
    let learned = config.estimators.iter().filter(|e| e.relaxes_f() || e.learns_control_variate());
    learned
        .map(|&estimator| {
            let failed = |error| Error::runtime(format!("{estimator}: {error}"));
            let mut learner = Learner::new(estimator, config.target, config.first_seed, config.learning_rate);
            for _ in 0..config.steps {
                learner.step(false).map_err(failed)?;
            }
            let points = (1..200).map(|i| f64::from(i) / 200.0).map(|u| (u, learner.control_variate_at(u)));
            Ok(ToyRelaxation { estimator, points: points.collect() })
        })
        .collect()
}

/// Mean, standard deviation and half the width of the 95 % interval of the mean (Student's t).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation, of n − 1.
    pub deviation: f64,
    /// Half the interval; 0 for a single number.
    pub half_width: f64,
    /// Median.
    pub median: f64,
}

impl Spread {
    /// Of some numbers; NaN of none.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = match sorted.len() {
            0 => f64::NAN,
            n => 0.5 * (sorted[(n - 1) / 2] + sorted[n / 2]),
        };
        if values.len() < 2 {
            return Self { mean, deviation: 0.0, half_width: 0.0, median };
        }
        let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        Self { mean, deviation, half_width: student_975(n - 1.0) * deviation / n.sqrt(), median }
    }
}

/// Upper 2.5 % quantile of Student's t with `degrees` ≥ 1 of freedom: exact for 1 and 2, the expansion of Abramowitz and
/// Stegun 26.7.5 beyond (1 % low at 3, under 0.3 % from 4 on).
fn student_975(degrees: f64) -> f64 {
    if degrees < 1.5 {
        return 12.706_2;
    }
    if degrees < 2.5 {
        return 4.302_65;
    }
    let z: f64 = 1.959_964;
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + first / degrees + second / degrees.powi(2) + third / degrees.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_student() {
        for (degrees, t, tolerance) in [(3.0, 3.182, 0.03), (9.0, 2.262, 2e-3), (19.0, 2.093, 1e-3)] {
            assert!((student_975(degrees) - t).abs() < tolerance, "{degrees}: {}", student_975(degrees));
        }
        let spread = Spread::of(&[1.0, 2.0, 6.0, 3.0]);
        assert_eq!((spread.mean, spread.median), (3.0, 2.5));
    }

    #[test]
    fn the_grid_holds_the_table_and_both_ends() {
        let grid = ToyConfig::default().grid();
        assert!(TABLE_STEPS.iter().all(|step| grid.contains(step)) && grid[0] == 0);
        assert_eq!(ToyConfig { steps: 7, ..ToyConfig::default() }.grid().last(), Some(&7));
    }

    #[test]
    fn a_run_is_a_function_of_its_seed() {
        let config = ToyConfig { steps: 50, ..ToyConfig::default() };
        for &estimator in &config.estimators {
            let first = run(&config, estimator, 5).expect("runs");
            assert_eq!(first, run(&config, estimator, 5).expect("runs"));
            assert_ne!(first.points, run(&config, estimator, 6).expect("runs").points);
        }
    }
}
