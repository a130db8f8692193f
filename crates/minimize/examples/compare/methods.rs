//! The methods, and the counting of calls.

use std::collections::HashMap;

use rand::Rng;
use relax_estimators::{Coupling, Estimate, Estimator, EstimatorError, Layer, Model, Place, Tuning};
use relax_minimize::{Function, Minimizer, Options, Surrogate};
use relax_nn::{Activation, MlpShape, Optimizer, Rule, Workspace};
use relax_rng::stream::stream;

use crate::problems::{Problem, below, unit};

/// f with a memory: a point is called once. Best so far after each call.
pub struct Calls<'a> {
    problem: &'a Problem,
    known: HashMap<Vec<usize>, f64>,
    pub best: Vec<f64>,
    /// Since the last new point.
    asked: usize,
}

impl<'a> Calls<'a> {
    pub fn new(problem: &'a Problem) -> Self {
        Self { problem, known: HashMap::new(), best: Vec::new(), asked: 0 }
    }

    /// Whether the calls are used up, or the last thousand points asked for were all known.
    pub fn over(&self) -> bool {
        self.best.len() >= self.problem.calls || self.asked >= 1000
    }

    pub fn f(&mut self, x: &[usize]) -> f64 {
        self.asked += 1;
        if let Some(&f) = self.known.get(x) {
            return f;
        }
        self.asked = 0;
        let f = (self.problem.f)(x);
        self.known.insert(x.to_vec(), f);
        if self.best.len() < self.problem.calls {
            let best = self.best.last().copied().unwrap_or(f64::INFINITY);
            self.best.push(best.min(f));
        }
        f
    }
}

/// Method, its settings in words, and one run of it: `tuned` is the one number that is chosen on other seeds.
pub struct Method {
    pub name: &'static str,
    pub grid: &'static [f64],
    /// The grid goes on to this at most.
    pub most: f64,
    pub run: fn(&mut Calls<'_>, f64, u64),
    /// Whether it runs on the problem.
    pub serves: fn(&Problem) -> bool,
}

fn any(_: &Problem) -> bool {
    true
}

const RATES: &[f64] = &[0.025, 0.05, 0.1, 0.2];

pub const METHODS: &[Method] = &[
    Method {
        name: "surrogate",
        grid: RATES,
        most: f64::INFINITY,
        run: |c, r, s| {
            logits(c, r, s, Options { batch: 4, probe: 4, surrogate: network(), ..Options::default() })
        },
        serves: any,
    },
    Method {
        name: "surrogate-kernel",
        grid: RATES,
        most: f64::INFINITY,
        run: |c, r, s| logits(c, r, s, Options::default()),
        serves: any,
    },
    Method {
        name: "surrogate-no-probes",
        grid: RATES,
        most: f64::INFINITY,
        run: |c, r, s| logits(c, r, s, unprobed(network())),
        serves: any,
    },
    Method {
        name: "no-probes-quadratic",
        grid: RATES,
        most: f64::INFINITY,
        run: |c, r, s| logits(c, r, s, unprobed(quadratic())),
        serves: any,
    },
    Method {
        name: "no-probes-relaxed",
        grid: RATES,
        most: f64::INFINITY,
        run: |c, r, s| logits(c, r, s, unprobed(Surrogate { relaxed: true, ..network() })),
        serves: Problem::bits,
    },
    Method {
        name: "leave-one-out",
        grid: RATES,
        most: f64::INFINITY,
        run: |c, r, s| logits(c, r, s, other(Estimator::LeaveOneOut { group: 2 })),
        serves: any,
    },
    Method {
        name: "leave-one-out-of-4",
        grid: RATES,
        most: f64::INFINITY,
        run: |c, r, s| logits(c, r, s, Options { batch: 4, ..other(Estimator::LeaveOneOut { group: 2 }) }),
        serves: any,
    },
    Method {
        name: "reinforce",
        grid: RATES,
        most: f64::INFINITY,
        run: |c, r, s| logits(c, r, s, other(Estimator::Reinforce)),
        serves: any,
    },
    Method {
        name: "disarm",
        grid: RATES,
        most: f64::INFINITY,
        run: |c, r, s| engine(c, r, s, Estimator::DisArm),
        serves: Problem::bits,
    },
    Method {
        name: "relax",
        grid: RATES,
        most: f64::INFINITY,
        run: |c, r, s| engine(c, r, s, Estimator::Relax(Coupling::Coupled)),
        serves: Problem::bits,
    },
    Method { name: "random", grid: &[0.0], most: 0.0, run: random, serves: any },
    Method {
        name: "annealing",
        grid: &[0.03, 0.1, 0.3, 1.0],
        most: f64::INFINITY,
        run: annealing,
        serves: any,
    },
    Method {
        name: "cross-entropy",
        grid: &[0.05, 0.1, 0.3, 0.6],
        most: 1.0,
        run: cross_entropy,
        serves: any,
    },
];

pub fn network() -> Surrogate {
    Surrogate { function: Function::Network(vec![64, 64]), ..Surrogate::default() }
}

fn unprobed(surrogate: Surrogate) -> Options {
    Options { batch: 8, probe: 0, surrogate, ..Options::default() }
}

fn quadratic() -> Surrogate {
    Surrogate { function: Function::Quadratic, learning_rate: 0.01, ..Surrogate::default() }
}

fn other(estimator: Estimator) -> Options {
    Options { batch: 8, estimator, ..Options::default() }
}

pub fn logits(calls: &mut Calls<'_>, rate: f64, seed: u64, options: Options) {
    let options = Options { learning_rate: rate, seed, ..options };
    let Ok(mut minimizer) = Minimizer::new(&calls.problem.space(), &options) else { return };
    while !calls.over() {
        let Ok(points) = minimizer.ask() else { return };
        let values: Vec<f64> = points.iter().map(|x| calls.f(x)).collect();
        if minimizer.tell(&values).is_err() {
            return;
        }
    }
}

/// Bits, f, and the free-form control variate of RELAX, trained on ‖ĝ‖².
struct Bits<'a, 'b> {
    layers: [Layer; 1],
    logits: Vec<f64>,
    calls: &'a mut Calls<'b>,
    shape: MlpShape,
    phi: Vec<f64>,
    workspace: Workspace<f64>,
    d: Vec<f64>,
    /// RELAX's c starts from the running mean of f.
    mean: f64,
}

impl Model<f64> for Bits<'_, '_> {
    type Error = EstimatorError;

    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn logits(&mut self, _: usize, _: &[Vec<f64>], logits: &mut [f64]) -> Result<(), EstimatorError> {
        logits.chunks_exact_mut(self.logits.len()).for_each(|row| row.copy_from_slice(&self.logits));
        Ok(())
    }

    fn value(&mut self, samples: &[Vec<f64>], f: &mut [f64]) -> Result<(), EstimatorError> {
        for (f, row) in f.iter_mut().zip(samples[0].chunks_exact(self.logits.len())) {
            let x: Vec<usize> = row.iter().map(|&b| b as usize).collect();
            *f = self.calls.f(&x) - self.mean;
        }
        Ok(())
    }

    fn control_variate(
        &mut self,
        _: Place<'_, f64>,
        z: &[f64],
        value: &mut [f64],
        gradient: &mut [f64],
    ) -> Result<(), EstimatorError> {
        self.shape.value_and_gradient(&self.phi, z, &mut self.workspace, value, gradient);
        Ok(())
    }

    fn fit_control_variate(
        &mut self,
        _: Place<'_, f64>,
        z: &[f64],
        alpha: &[f64],
        beta: &[f64],
    ) -> Result<(), EstimatorError> {
        // With coupled noise z is the one of `control_variate`, and its pass is still in the workspace.
        self.shape.parameter_gradient(&self.phi, z, &self.workspace, alpha, beta, &mut self.d, None);
        Ok(())
    }
}

fn engine(calls: &mut Calls<'_>, rate: f64, seed: u64, estimator: Estimator) {
    steps(calls, rate, seed, estimator, |calls, _| !calls.over());
}

/// DisARM and RELAX: eight calls a step, as the others; RELAX's network has 32 units and a step size of 0.003. `go_on` sees every step's
/// gradient.
pub fn steps(
    calls: &mut Calls<'_>,
    rate: f64,
    seed: u64,
    estimator: Estimator,
    mut go_on: impl FnMut(&Calls<'_>, &[f64]) -> bool,
) {
    let k = calls.problem.choices.len();
    let shape = MlpShape::new(k, &[32], 1, Activation::Tanh);
    let mut rng = stream(seed, 110, 0);
    let phi: Vec<f64> = shape.orthogonal(&mut rng, 1.0, 0.0);
    let count = phi.len();
    let layers = [Layer::bernoulli(k)];
    let mut model = Bits {
        layers,
        logits: vec![0.0; k],
        calls,
        shape,
        phi,
        workspace: Workspace::new(),
        d: vec![0.0; count],
        mean: 0.0,
    };
    let (mut adam, mut phi_adam) = (Optimizer::new(Rule::ADAM, k), Optimizer::new(Rule::ADAM, count));
    let (tuning, mut estimate) = ([Tuning::default()], Estimate::new());
    let rows = if estimator == Estimator::DisArm { 4 } else { 8 };
    loop {
        if estimator.estimate(&mut model, &tuning, rows, &mut rng, &mut estimate).is_err() {
            return;
        }
        let gradient: Vec<f64> = (0..k)
            .map(|i| estimate.gradient(0).iter().skip(i).step_by(k).sum::<f64>() / rows as f64)
            .collect();
        model.d.fill(0.0);
        let slope = estimator.variance_gradient(&mut model, 0, &tuning[0], &mut estimate);
        adam.step(&mut model.logits, &gradient, rate, 1.0);
        if slope.is_ok() && estimator.learns_control_variate() {
            phi_adam.step(&mut model.phi, &model.d, 0.003, 1.0);
            let f = estimate.f().iter().sum::<f64>() / rows as f64;
            model.mean += 0.05 * f;
        }
        if !go_on(model.calls, &gradient) {
            return;
        }
    }
}

pub fn draw(problem: &Problem, rng: &mut impl Rng) -> Vec<usize> {
    problem.choices.iter().map(|&k| below(rng, k)).collect()
}

fn random(calls: &mut Calls<'_>, _: f64, seed: u64) {
    let mut rng = stream(seed, 111, 0);
    while !calls.over() {
        let x = draw(calls.problem, &mut rng);
        calls.f(&x);
    }
}

/// One variable is drawn anew at a time; the temperature falls geometrically from `tuned` times the standard deviation of fifty random
/// calls to a hundredth of it.
pub fn annealing(calls: &mut Calls<'_>, tuned: f64, seed: u64) {
    let mut rng = stream(seed, 112, 0);
    let first: Vec<(f64, Vec<usize>)> = (0..50)
        .map(|_| {
            let x = draw(calls.problem, &mut rng);
            (calls.f(&x), x)
        })
        .collect();
    let mean = first.iter().map(|(f, _)| f / 50.0).sum::<f64>();
    let start = tuned * (first.iter().map(|(f, _)| (f - mean).powi(2) / 49.0).sum::<f64>()).sqrt();
    let Some((mut f, mut x)) = first.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)) else { return };
    while !calls.over() {
        let done = calls.best.len() as f64 / calls.problem.calls as f64;
        let temperature = start * 0.01_f64.powf(done);
        let i = below(&mut rng, x.len());
        let (old, k) = (x[i], calls.problem.choices[i]);
        x[i] = (old + 1 + below(&mut rng, k - 1)) % k;
        let next = calls.f(&x);
        if next <= f || unit(&mut rng) < ((f - next) / temperature).exp() {
            f = next;
        } else {
            x[i] = old;
        }
    }
}

/// Fifty points a round, the best ten of them move the probabilities by the step size `tuned`.
fn cross_entropy(calls: &mut Calls<'_>, tuned: f64, seed: u64) {
    let mut rng = stream(seed, 113, 0);
    let choices = calls.problem.choices.clone();
    let mut p: Vec<Vec<f64>> = choices.iter().map(|&k| vec![1.0 / k as f64; k]).collect();
    while !calls.over() {
        let mut points: Vec<(f64, Vec<usize>)> = (0..50)
            .map(|_| {
                let pick = |p: &Vec<f64>, mut u: f64| {
                    p.iter()
                        .position(|&p| {
                            u -= p;
                            u < 0.0
                        })
                        .unwrap_or(p.len() - 1)
                };
                let x: Vec<usize> = p.iter().map(|p| pick(p, unit(&mut rng))).collect();
                (calls.f(&x), x)
            })
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (i, p) in p.iter_mut().enumerate() {
            for (c, p) in p.iter_mut().enumerate() {
                let share = points[..10].iter().filter(|(_, x)| x[i] == c).count() as f64 / 10.0;
                *p += tuned * (share - *p);
            }
        }
    }
}
