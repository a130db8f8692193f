//! Many targets at once: samples chosen for a stated bias, one p-value a target, one false-alarm rate for all of them.

use super::distribution::{normal_quantile, t_tail};
use super::joint::{Joint, JointMoments};
use crate::EstimatorError;

/// Something whose estimates are to be compared with what they should be on average. Implement it to certify an estimator, or
/// an agent, of your own.
pub trait Target {
    /// What can go wrong while sampling.
    type Error;

    /// What it is called in a table.
    fn name(&self) -> &str;

    /// What the estimates should be on average, `[K]`.
    fn exact(&self) -> &[f64];

    /// Appends one or more independent estimates to `rows`, `[B, K]`.
    ///
    /// # Errors
    /// If there are no estimates to be had.
    fn sample(&mut self, rows: &mut Vec<f64>) -> Result<(), Self::Error>;
}

/// How to check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Probability that any of the targets is called biased though none is.
    pub significance: f64,
    /// Targets that are checked together.
    pub targets: usize,
    /// The bias that is to be found with probability `power`: a root-mean-square coordinate off by this share of the exact
    /// gradient's root-mean-square coordinate.
    pub detectable: f64,
    /// See `detectable`.
    pub power: f64,
    /// Estimates from which the spread is learned that decides how many more are drawn; they are not used again.
    pub pilot: u64,
    /// No more estimates than these, whatever `detectable` asks for.
    pub limit: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { significance: 1e-3, targets: 1, detectable: 0.1, power: 0.9, pilot: 500, limit: 200_000 }
    }
}

/// What the check of one target found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The target's name.
    pub name: String,
    /// Estimates drawn, without the pilot's.
    pub samples: u64,
    /// Means, `[K]`.
    pub mean: Vec<f64>,
    /// What they should be, `[K]`.
    pub exact: Vec<f64>,
    /// Standard errors of the means, `[K]`.
    pub standard_error: Vec<f64>,
    /// (mean − exact) / standard error, `[K]`.
    pub z_scores: Vec<f64>,
    /// All coordinates at once.
    pub joint: Joint,
    /// The target's p-value: of the worst coordinate and of the joint test the smaller, times 2; the coordinate's was
    /// multiplied by K before (Bonferroni).
    pub p_value: f64,
    /// The bias that so many samples find with the power asked for, as [`Settings::detectable`].
    pub detectable: f64,
}

impl Verdict {
    /// The largest |z|; NaN counts as infinite.
    #[must_use]
    pub fn worst(&self) -> f64 {
        self.z_scores.iter().map(|z| if z.is_nan() { f64::INFINITY } else { z.abs() }).fold(0.0, f64::max)
    }

    /// ‖mean − exact‖ / ‖exact‖.
    #[must_use]
    pub fn relative_deviation(&self) -> f64 {
        let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
        norm(&mut self.mean.iter().zip(&self.exact).map(|(m, e)| m - e))
            / norm(&mut self.exact.iter().copied())
    }
}

/// Checks one target: a pilot, then as many samples as [`Settings::detectable`] needs.
///
/// # Errors
/// If sampling fails. A significance outside (0, 1), or a target of no coordinates, is a `Samples` or `Significance` error.
pub fn check<T: Target>(target: &mut T, settings: &Settings) -> Result<Verdict, T::Error>
where
    T::Error: From<EstimatorError>,
{
    if !(settings.significance > 0.0 && settings.significance < 1.0) {
        return Err(EstimatorError::Significance(settings.significance).into());
    }
    let exact = target.exact().to_vec();
    let pilot = sample(target, exact.len(), settings.pilot.max(2))?;
    let wanted = samples_for(&pilot, &exact, settings);
    // Fewer, and the means of heavy-tailed estimates are not normal enough yet for the rates to hold.
    let least = (60 * exact.len() as u64).max(1000).max(settings.pilot);
    let moments = sample(target, exact.len(), wanted.clamp(least, settings.limit.max(least)))?;
    judge(target.name(), &moments, &exact, settings).map_err(Into::into)
}

fn sample<T: Target>(target: &mut T, coordinates: usize, count: u64) -> Result<JointMoments, T::Error> {
    let (mut moments, mut rows) = (JointMoments::new(coordinates), Vec::new());
    while moments.count() < count {
        rows.clear();
        target.sample(&mut rows)?;
        moments.push(&rows);
    }
    Ok(moments)
}

/// The deviation of a mean, in standard errors, that is found with the power asked for.
fn deviation(coordinates: usize, settings: &Settings) -> f64 {
    let tests = (4 * coordinates.max(1) * settings.targets.max(1)) as f64;
    -normal_quantile(settings.significance / tests) - normal_quantile(1.0 - settings.power.clamp(0.5, 0.9999))
}

/// Samples that find a bias of [`Settings::detectable`] in a coordinate of typical spread, given the spread that
/// `pilot` saw.
#[must_use]
pub fn samples_for(pilot: &JointMoments, exact: &[f64], settings: &Settings) -> u64 {
    let found = detectable(pilot, exact, 1, settings);
    // `detectable` falls with the root of the number of samples.
    let wanted = (found / settings.detectable).powi(2).ceil();
    if wanted.is_finite() { wanted as u64 } else { settings.limit }
}

/// The relative bias found by `samples` samples.
fn detectable(moments: &JointMoments, exact: &[f64], samples: u64, settings: &Settings) -> f64 {
    let k = exact.len();
    let size = (exact.iter().map(|x| x * x).sum::<f64>() / k.max(1) as f64).sqrt();
    let spread = ((0..k).map(|i| moments.covariance(i, i)).sum::<f64>() / k.max(1) as f64).sqrt();
    deviation(k, settings) * spread / (samples as f64).sqrt() / size
}

/// The verdict on estimates that were drawn already.
///
/// # Errors
/// If there are not more samples than coordinates, or the numbers of coordinates differ.
pub fn judge(
    name: &str,
    moments: &JointMoments,
    exact: &[f64],
    settings: &Settings,
) -> Result<Verdict, EstimatorError> {
    let (n, k) = (moments.count(), exact.len());
    let joint = moments.test(exact)?;
    let mut standard_error = Vec::with_capacity(k);
    let mut z_scores = Vec::with_capacity(k);
    for (i, exact) in exact.iter().enumerate() {
        // What does not scatter is held to rounding instead.
        let rounding = 1e-6 * exact.abs().max(f64::MIN_POSITIVE);
        let error = (moments.covariance(i, i) / n as f64).sqrt();
        standard_error.push(error);
        z_scores.push((moments.mean()[i] - exact) / if error > 0.0 { error } else { rounding });
    }
    let worst = z_scores.iter().map(|z| if z.is_nan() { f64::INFINITY } else { z.abs() }).fold(0.0, f64::max);
    let of_coordinates = (k as f64 * t_tail(worst, (n - 1) as f64)).min(1.0);
    Ok(Verdict {
        name: name.to_owned(),
        samples: n,
        mean: moments.mean().to_vec(),
        exact: exact.to_vec(),
        standard_error,
        z_scores,
        p_value: (2.0 * of_coordinates.min(joint.p_value)).min(1.0),
        joint,
        detectable: detectable(moments, exact, n, settings),
    })
}

/// Which of the hypotheses with these p-values are rejected, so that with probability 1 − `significance` no true one is
/// (Holm 1979).
#[must_use]
pub fn holm(p_values: &[f64], significance: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut rejected = vec![false; p_values.len()];
    for (rank, &i) in order.iter().enumerate() {
        if p_values[i] > significance / (p_values.len() - rank) as f64 {
            break;
        }
        rejected[i] = true;
    }
    rejected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holm_steps_down() {
        // 0.05/4 = 0.0125, 0.05/3 = 0.0167, 0.05/2 = 0.025.
        assert_eq!(holm(&[0.04, 0.01, 0.016, 0.03], 0.05), [false, true, true, false]);
        assert_eq!(holm(&[], 0.05), Vec::<bool>::new());
    }

    /// Numbers around `mean` in two coordinates.
    struct Noise {
        rng: rand_pcg::Pcg64,
        mean: [f64; 2],
    }

    impl Target for Noise {
        type Error = EstimatorError;
        fn name(&self) -> &str {
            "noise"
        }
        fn exact(&self) -> &[f64] {
            &[1.0, 1.0]
        }
        fn sample(&mut self, rows: &mut Vec<f64>) -> Result<(), EstimatorError> {
            use rand_distr::{Distribution, StandardNormal};
            for mean in self.mean {
                let noise: f64 = StandardNormal.sample(&mut self.rng);
                rows.push(mean + 2.0 * noise);
            }
            Ok(())
        }
    }

    /// A bias of the size asked for is found about as often as asked for, or more often, and none rarely.
    #[test]
    fn the_power_is_the_one_asked_for() {
        use rand::SeedableRng;
        let settings = Settings { significance: 0.05, detectable: 0.2, power: 0.8, ..Settings::default() };
        let mut alarms = [0; 2];
        for seed in 0..200 {
            for (i, mean) in [[1.0, 1.0], [1.2, 1.0]].into_iter().enumerate() {
                let mut target = Noise { rng: rand_pcg::Pcg64::seed_from_u64(seed), mean };
                let verdict = check(&mut target, &settings).unwrap();
                alarms[i] += u32::from(verdict.p_value <= 0.05);
            }
        }
        assert!(alarms[0] <= 19, "false alarms: {alarms:?}"); // 10 expected at most, three standard deviations more
        assert!(alarms[1] >= 143, "missed: {alarms:?}"); // 160 expected, three standard deviations fewer
    }
}
