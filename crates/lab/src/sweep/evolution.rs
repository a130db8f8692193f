//! What is tried next, by an evolution strategy: CMA-ES.
//!
//! Ranges are lines from 0 to 1; trials are drawn from a normal distribution there, and every bracket moves its mean to the better half, its
//! steps' length to what the last steps had in common, and its covariance to where they led. What falls beyond an end is folded back. Of
//! choices there are no steps: they are drawn from the good trials' densities of `suggest.rs`.
//!
//! Reference: Hansen 2016 (The CMA evolution strategy: a tutorial), with its constants and positive weights only.
//!
//! Written here, as the Parzen estimator is: of the crates for it, `cmaes` and `optimizer` found less in the same trials, and `haru_cmaes` draws
//! from a generator without a seed.

use relax_envs::EnvRng;
use relax_nn::eigen_symmetric;
use toml::Value;

use super::settings::Plan;
use super::space::{Parameter, Range};
use super::suggest::{self, decode};

/// The first distribution's standard deviation, as a share of every range: around the middle, hardly a range's end is out of reach.
const FIRST_STEP: f64 = 0.3;
/// Times that a trial is drawn anew, with ever longer steps, where the settings were tried before.
const ANEW: usize = 16;
/// Sets the streams of steps apart from those of choices.
const STEPS: u32 = 1 << 31;

/// The distribution of the next trials.
#[derive(Debug, Clone)]
pub(super) struct Evolution {
    /// Places of the ranges among the parameters; the others are choices.
    lines: Vec<usize>,
    choices: Vec<usize>,
    search: Search,
}

impl Evolution {
    pub fn new(plan: &Plan) -> Self {
        let is_choice = |at: &usize| matches!(plan.parameters[*at].range, Range::Choice(_));
        let (choices, lines): (Vec<usize>, Vec<usize>) = (0..plan.parameters.len()).partition(is_choice);
        let search = Search::new(lines.len());
        Self { lines, choices, search }
    }

    /// Least trials of a bracket.
    pub fn population(&self) -> usize {
        4 + (3.0 * (self.lines.len().max(1) as f64).ln()) as usize
    }

    /// The values of trial `number`; `ranked` and `pending` as [`suggest::next`] has them.
    pub fn next(&self, plan: &Plan, number: u64, ranked: &[&[Value]], pending: &[&[Value]]) -> Vec<Value> {
        let chosen = self.choose(plan, number, ranked);
        let mut rng = EnvRng::from_seed_sequence(plan.settings.seed, &[STEPS | number as u32]);
        let mut values: Vec<Value> = Vec::new();
        for attempt in 0..ANEW {
            let point = self.search.draw(1.0 + attempt as f64 / 4.0, &mut rng);
            values = plan.parameters.iter().map(|_| Value::Boolean(false)).collect();
            for (&at, value) in self.choices.iter().zip(&chosen) {
                values[at] = value.clone();
            }
            for (&at, x) in self.lines.iter().zip(&point) {
                values[at] = decode(&plan.parameters[at].range, *x);
            }
            if self.lines.is_empty() || !ranked.iter().chain(pending).any(|other| *other == values) {
                break;
            }
        }
        values
    }

    fn choose(&self, plan: &Plan, number: u64, ranked: &[&[Value]]) -> Vec<Value> {
        if self.choices.is_empty() {
            return Vec::new();
        }
        let parameters: Vec<Parameter> = self.choices.iter().map(|&at| plan.parameters[at].clone()).collect();
        let only = |values: &&[Value]| self.choices.iter().map(|&at| values[at].clone()).collect();
        let ranked: Vec<Vec<Value>> = ranked.iter().map(only).collect();
        suggest::from_good(&parameters, &plan.settings, number, &ranked)
    }

    /// Takes in a bracket, from the best trial to the worst.
    pub fn learn(&mut self, plan: &Plan, ranked: &[&[Value]]) {
        let point = |values: &&[Value]| -> Vec<f64> {
            self.lines.iter().map(|&at| plan.parameters[at].range.place(&values[at])).collect()
        };
        let points: Vec<Vec<f64>> = ranked.iter().map(point).collect();
        self.search.update(&points);
    }
}

/// N(mean, σ²C) in a unit cube, and the paths that its mean has taken.
#[derive(Debug, Clone)]
struct Search {
    mean: Vec<f64>,
    sigma: f64,
    /// C, `[n, n]`, its eigenvectors as rows, and the roots of its eigenvalues.
    covariance: Vec<f64>,
    axes: Vec<f64>,
    lengths: Vec<f64>,
    sigma_path: Vec<f64>,
    path: Vec<f64>,
    generations: i32,
}

impl Search {
    fn new(n: usize) -> Self {
        let identity: Vec<f64> = (0..n * n).map(|at| f64::from(u8::from(at / n == at % n))).collect();
        Self {
            mean: vec![0.5; n],
            sigma: FIRST_STEP,
            covariance: identity.clone(),
            axes: identity,
            lengths: vec![1.0; n],
            sigma_path: vec![0.0; n],
            path: vec![0.0; n],
            generations: 0,
        }
    }

    /// A draw, with steps so many times as long.
    fn draw(&self, longer: f64, rng: &mut EnvRng) -> Vec<f64> {
        let n = self.mean.len();
        let mut point = self.mean.clone();
        for (axis, length) in self.axes.chunks_exact(n.max(1)).zip(&self.lengths) {
            let step = longer * self.sigma * length * rng.standard_normal();
            point.iter_mut().zip(axis).for_each(|(x, a)| *x += step * a);
        }
        point.into_iter().map(folded).collect()
    }

    /// Takes in a generation, from the best point to the worst.
    fn update(&mut self, points: &[Vec<f64>]) {
        let (n, half) = (self.mean.len(), points.len() / 2);
        if n == 0 || half == 0 {
            return;
        }
        let raw: Vec<f64> =
            (1..=half).map(|i| ((points.len() as f64 + 1.0) / 2.0).ln() - (i as f64).ln()).collect();
        let sum: f64 = raw.iter().sum();
        let weights: Vec<f64> = raw.iter().map(|w| w / sum).collect();
        let mass = 1.0 / weights.iter().map(|w| w * w).sum::<f64>();
        let dims = n as f64;
        let sigma_rate = (mass + 2.0) / (dims + mass + 5.0);
        let damping = 1.0 + 2.0 * (((mass - 1.0) / (dims + 1.0)).sqrt() - 1.0).max(0.0) + sigma_rate;
        let path_rate = (4.0 + mass / dims) / (dims + 4.0 + 2.0 * mass / dims);
        let rank_one = 2.0 / ((dims + 1.3).powi(2) + mass);
        let rank_many = (1.0 - rank_one).min(2.0 * (mass - 2.0 + 1.0 / mass) / ((dims + 2.0).powi(2) + mass));

        // Steps that were taken, folded back and rounded as they were, in units of σ; and their weighted mean.
        let steps: Vec<Vec<f64>> = points[..half]
            .iter()
            .map(|point| point.iter().zip(&self.mean).map(|(x, m)| (x - m) / self.sigma).collect())
            .collect();
        let mean_step: Vec<f64> =
            (0..n).map(|k| weights.iter().zip(&steps).map(|(w, step)| w * step[k]).sum()).collect();
        self.mean.iter_mut().zip(&mean_step).for_each(|(m, step)| *m += self.sigma * step);

        // C^−½ of it: along the axes, each by its length.
        let mut white = vec![0.0; n];
        for (axis, length) in self.axes.chunks_exact(n).zip(&self.lengths) {
            let along = axis.iter().zip(&mean_step).map(|(a, s)| a * s).sum::<f64>() / length;
            white.iter_mut().zip(axis).for_each(|(w, a)| *w += along * a);
        }
        let fresh = (sigma_rate * (2.0 - sigma_rate) * mass).sqrt();
        for (path, white) in self.sigma_path.iter_mut().zip(&white) {
            *path = (1.0 - sigma_rate) * *path + fresh * white;
        }
        self.generations += 1;
        let length = self.sigma_path.iter().map(|p| p * p).sum::<f64>().sqrt();
        let usual = dims.sqrt() * (1.0 - 1.0 / (4.0 * dims) + 1.0 / (21.0 * dims * dims));
        let grown = (1.0 - (1.0 - sigma_rate).powi(2 * self.generations)).sqrt();
        // Steps that grow too fast do not stretch the covariance as well.
        let stalled = length / grown >= (1.4 + 2.0 / (dims + 1.0)) * usual;
        let fresh = if stalled { 0.0 } else { (path_rate * (2.0 - path_rate) * mass).sqrt() };
        for (path, step) in self.path.iter_mut().zip(&mean_step) {
            *path = (1.0 - path_rate) * *path + fresh * step;
        }
        let lost = if stalled { rank_one * path_rate * (2.0 - path_rate) } else { 0.0 };
        for i in 0..n {
            for j in 0..=i {
                let many: f64 = weights.iter().zip(&steps).map(|(w, step)| w * step[i] * step[j]).sum();
                let kept = (1.0 - rank_one - rank_many + lost) * self.covariance[i * n + j];
                let value = kept + rank_one * self.path[i] * self.path[j] + rank_many * many;
                (self.covariance[i * n + j], self.covariance[j * n + i]) = (value, value);
            }
        }
        // No wider than the cube, where folding makes one width like another.
        self.sigma = (self.sigma * ((sigma_rate / damping) * (length / usual - 1.0)).exp()).clamp(1e-6, 1.0);
        if let Some(values) = eigen_symmetric(&self.covariance, &mut self.axes, n) {
            self.lengths = values.into_iter().map(|value| value.max(1e-12).sqrt()).collect();
        }
    }
}

/// A number folded back into 0 to 1.
fn folded(x: f64) -> f64 {
    let x = x.rem_euclid(2.0);
    if x > 1.0 { 2.0 - x } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::Sampler;
    use crate::sweep::side_by_side;

    /// The published constants take it down a narrow valley, across the axes, and its covariance follows the valley.
    #[test]
    fn it_descends_an_ellipsoid_across_the_axes() {
        let (mut search, mut rng) = (Search::new(3), EnvRng::from_seed(1));
        let f = |x: &[f64]| {
            let along = [x[0] + x[1] - 1.1, x[0] - x[1] - 0.1, x[2] - 0.3];
            along[0].powi(2) + 1e3 * along[1].powi(2) + 10.0 * along[2].powi(2)
        };
        for _ in 0..150 {
            let mut points: Vec<Vec<f64>> = (0..7).map(|_| search.draw(1.0, &mut rng)).collect();
            points.sort_by(|a, b| f(a).total_cmp(&f(b)));
            search.update(&points);
        }
        assert!(f(&search.mean) < 1e-9, "{search:?}");
        let longest = (0..3).max_by(|&a, &b| search.lengths[a].total_cmp(&search.lengths[b])).unwrap_or(0);
        let axis = &search.axes[3 * longest..3 * longest + 3];
        assert!((axis[0] - axis[1]).abs() < 0.2 && axis[2].abs() < 0.5, "{axis:?}");
    }

    #[test]
    fn it_finds_more_than_chance_does() {
        side_by_side::finds_more_than_chance(Sampler::CmaEs, 90, 0.3);
    }

    /// Where there are few settings, none is tried twice for long.
    #[test]
    fn whole_numbers_do_not_stall() {
        let text = "[env]\nid = 'CartPole-v1'\n[agent]\nkind = 'a2c'\n[sweep]\n[sweep.space]\n\
                    'rollout.steps' = { low = 1, high = 30 }\n";
        let plan = Plan::parse(text, "test", None).expect("a plan");
        let (mut evolution, mut all) = (Evolution::new(&plan), Vec::<Vec<Value>>::new());
        for bracket in 0..5 {
            for number in 0..4 {
                let tried: Vec<&[Value]> = all.iter().map(Vec::as_slice).collect();
                let values = evolution.next(&plan, 4 * bracket + number, &tried, &[]);
                all.push(values);
            }
            let mut of = all[all.len() - 4..].to_vec();
            of.sort_by_key(|values| (values[0].as_integer().unwrap_or(0) - 7).abs());
            evolution.learn(&plan, &of.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        assert!(all.contains(&vec![Value::Integer(7)]), "{all:?}");
        all.sort_by_key(|values| values[0].as_integer());
        all.dedup();
        assert!(all.len() >= 18, "{all:?}");
    }

    #[test]
    fn what_falls_beyond_an_end_is_folded_back() {
        for (x, y) in [(0.25, 0.25), (-0.25, 0.25), (1.25, 0.75), (2.25, 0.25), (-1.25, 0.75)] {
            assert!((folded(x) - y).abs() < 1e-15, "{x}");
        }
    }
}
