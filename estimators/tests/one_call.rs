//! The one call of all estimators: unbiased on layered models of both families, and the gradients that its learned numbers get.
use crate::common::{close, rng, wavy};
use relax_estimators::certify::{Moments, certify};
use relax_estimators::{
    Coupling, Estimate, Estimator, EstimatorError, Family, Layer, LearnedBaseline, Model, OneNode, Place,
    Relaxation, Tuning, categorical, exact, mean_squared_norm,
};

const GROUP: usize = 4;

/// Two layers: two Bernoulli variables, then a choice among three whose logits depend on them. f sees both.
struct Layered {
    layers: [Layer; 2],
    /// φ scales the control variate; its gradient is kept here.
    phi: f64,
    d_phi: f64,
}

const BOTTOM: [f64; 2] = [0.4, -0.6];
const WEIGHT: [[f64; 3]; 2] = [[0.8, -0.5, 0.2], [-0.3, 0.6, 0.9]];

impl Layered {
    fn new() -> Self {
        Self { layers: [Layer::bernoulli(2), Layer::categorical(3)], phi: 0.3, d_phi: 0.0 }
    }
    fn upper_logits(x: &[f64]) -> [f64; 3] {
        std::array::from_fn(|j| 0.1 + WEIGHT[0][j] * (2.0 * x[0] - 1.0) + WEIGHT[1][j] * (2.0 * x[1] - 1.0))
    }
    fn f(x: &[f64], y: &[f64]) -> f64 {
        (x[0] - 2.0 * x[1] + 1.5 * y[0] - y[1] + 0.5 * x[0] * y[2] + 0.2).powi(2)
    }
    /// f with everything above the soft outcome x relaxed.
    fn soft(&self, place: Place<'_, f64>, row: usize, x: &[f64]) -> f64 {
        if place.layer == 1 {
            return Self::f(&place.below[0][2 * row..2 * row + 2], x);
        }
        let (mut log_p, mut z, mut y) = ([0.0; 3], [0.0; 3], [0.0; 3]);
        categorical::log_softmax(&Self::upper_logits(x), 3, &mut log_p);
        categorical::relaxed_sample(&log_p, &place.noise_above[0][3 * row..3 * row + 3], &mut z);
        let sigma = Relaxation { link: self.layers[1].link(), width: 3, temperature: 0.6 };
        sigma.apply(&z, &mut y);
        Self::f(x, &y)
    }
    /// E over both layers of a function of them, and its gradient by both layers' logits (averaged over what is below).
    fn exact() -> (Vec<f64>, Vec<f64>) {
        let bottom = exact::bernoulli(&BOTTOM, |x| {
            let top = exact::categorical(&Self::upper_logits(x), |b| Self::f(x, &one_hot(b)));
            top.value
        });
        let top = (0..3).map(|j| {
            let slope = |x: &[f64]| {
                exact::categorical(&Self::upper_logits(x), |b| Self::f(x, &one_hot(b))).gradient[j]
            };
            exact::bernoulli(&BOTTOM, slope).unwrap().value
        });
        (bottom.unwrap().gradient, top.collect())
    }
}

fn one_hot(b: usize) -> [f64; 3] {
    std::array::from_fn(|i| f64::from(u8::from(i == b)))
}

impl Model<f64> for Layered {
    type Error = EstimatorError;

    fn layers(&self) -> &[Layer] {
        &self.layers
    }
    fn logits(&mut self, layer: usize, below: &[Vec<f64>], logits: &mut [f64]) -> Result<(), EstimatorError> {
        if layer == 0 {
            logits.chunks_mut(2).for_each(|row| row.copy_from_slice(&BOTTOM));
        } else {
            for (row, x) in logits.chunks_mut(3).zip(below[0].chunks(2)) {
                row.copy_from_slice(&Self::upper_logits(x));
            }
        }
        Ok(())
    }
    fn value(&mut self, samples: &[Vec<f64>], f: &mut [f64]) -> Result<(), EstimatorError> {
        for (f, (x, y)) in f.iter_mut().zip(samples[0].chunks(2).zip(samples[1].chunks(3))) {
            *f = Self::f(x, y);
        }
        Ok(())
    }
    fn value_and_gradient(
        &mut self,
        place: Place<'_, f64>,
        x: &[f64],
        f: &mut [f64],
        gradient: &mut [f64],
    ) -> Result<(), EstimatorError> {
        let (k, step) = (self.layers[place.layer].width, 1e-5);
        for (row, x) in x.chunks(k).enumerate() {
            f[row] = self.soft(place, row, x);
            for i in 0..k {
                let (mut up, mut down) = (x.to_vec(), x.to_vec());
                up[i] += step;
                down[i] -= step;
                let difference = self.soft(place, row, &up) - self.soft(place, row, &down);
                gradient[row * k + i] = difference / (2.0 * step);
            }
        }
        Ok(())
    }
    fn hessian_vector(
        &mut self,
        place: Place<'_, f64>,
        x: &[f64],
        tangent: &[f64],
        out: &mut [f64],
    ) -> Result<(), EstimatorError> {
        let step = 1e-4;
        let moved = |sign: f64| x.iter().zip(tangent).map(|(x, t)| x + sign * step * t).collect::<Vec<_>>();
        let mut f = vec![0.0; x.len() / self.layers[place.layer].width];
        let (mut up, mut down) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        self.value_and_gradient(place, &moved(1.0), &mut f, &mut up)?;
        self.value_and_gradient(place, &moved(-1.0), &mut f, &mut down)?;
        out.iter_mut().zip(up.iter().zip(&down)).for_each(|(o, (u, d))| *o = (u - d) / (2.0 * step));
        Ok(())
    }
    fn control_variate(
        &mut self,
        place: Place<'_, f64>,
        z: &[f64],
        value: &mut [f64],
        gradient: &mut [f64],
    ) -> Result<(), EstimatorError> {
        wavy(z, self.layers[place.layer].width, value, gradient);
        value.iter_mut().chain(gradient).for_each(|x| *x *= self.phi);
        Ok(())
    }
    fn fit_control_variate(
        &mut self,
        place: Place<'_, f64>,
        z: &[f64],
        alpha: &[f64],
        beta: &[f64],
    ) -> Result<(), EstimatorError> {
        let (mut value, mut gradient) = (vec![0.0; alpha.len()], vec![0.0; z.len()]);
        wavy(z, self.layers[place.layer].width, &mut value, &mut gradient);
        self.d_phi += alpha.iter().zip(&value).map(|(a, v)| a * v).sum::<f64>();
        self.d_phi += beta.iter().zip(&gradient).map(|(b, g)| b * g).sum::<f64>();
        Ok(())
    }
    /// As wrong as can be.
    fn surrogate(&mut self, samples: &[Vec<f64>], c: &mut [f64]) -> Result<(), EstimatorError> {
        for (c, (x, y)) in c.iter_mut().zip(samples[0].chunks(2).zip(samples[1].chunks(3))) {
            *c = 3.0 + (2.0 * x[0] - x[1] + y[0] * x[1] - 0.7 * y[2]).sin();
        }
        Ok(())
    }
    fn baseline(
        &mut self,
        layer: usize,
        below: &[Vec<f64>],
        values: &mut [f64],
    ) -> Result<(), EstimatorError> {
        for (row, value) in values.iter_mut().enumerate() {
            *value = if layer == 0 { 2.0 } else { 1.0 + below[0][2 * row] };
        }
        Ok(())
    }
}

/// Moments of the estimates of both layers; groups are averaged where they share noise.
fn moments(estimator: Estimator, batches: usize) -> [Moments; 2] {
    let (mut model, mut estimate, mut rng) = (Layered::new(), Estimate::new(), rng(7));
    let tuning = Tuning { gain: 0.7, baseline: 1.5, ..Tuning::default() };
    let mut moments = [Moments::new(2), Moments::new(3)];
    for _ in 0..batches {
        estimator.estimate(&mut model, &[tuning; 2], 100, &mut rng, &mut estimate).unwrap();
        for (l, moments) in moments.iter_mut().enumerate() {
            let gradient = estimate.gradient(l);
            let (Estimator::LeaveOneOut { group } | Estimator::Surrogate { group, .. }) = estimator else {
                moments.push(gradient);
                continue;
            };
            // The rows of a group share their baselines: only the groups' means are independent.
            let width = gradient.len() / 100;
            for rows in gradient.chunks(group * width) {
                let mean = (0..width).map(|k| rows.iter().skip(k).step_by(width).sum::<f64>() / group as f64);
                moments.push(&mean.collect::<Vec<_>>());
            }
        }
    }
    moments
}

#[test]
fn unbiased_for_every_layer_but_concrete() {
    let (bottom, top) = Layered::exact();
    for estimator in Estimator::ALL {
        let [first, second] = moments(estimator, 600);
        let [first, second] =
            [certify(&first, &bottom, 1e-3).unwrap(), certify(&second, &top, 1e-3).unwrap()];
        println!("{:<24} worst |z| {:6.2} {:6.2}", estimator.name(), first.worst(), second.worst());
        if estimator.is_unbiased() {
            assert!(first.passes() && second.passes(), "{estimator}\n{first}\n{second}");
        } else {
            assert!(first.worst() > 8.0 && second.worst() > 8.0, "the bias of {estimator} is not seen");
        }
    }
}

const CATEGORICAL: [f64; 3] = [0.5, -0.2, 0.1];
const F: [f64; 3] = [1.0, -2.0, 0.5];

fn pick(b: &[f64]) -> f64 {
    b.iter().zip(F).map(|(b, f)| b * f).sum()
}

#[test]
fn leave_one_out_and_disarm_in_a_black_box_of_both_families() {
    let choice = exact::categorical(&CATEGORICAL, |b| F[b]).gradient;
    let coins = exact::bernoulli(&CATEGORICAL, pick).unwrap().gradient;
    for (family, exact) in [(Family::Categorical, choice), (Family::Bernoulli, coins)] {
        for estimator in [Estimator::LeaveOneOut { group: GROUP }, Estimator::DisArm, Estimator::Reinforce] {
            let mut model = OneNode::new(family, CATEGORICAL.to_vec(), pick);
            let (mut estimate, mut rng, mut moments) = (Estimate::new(), rng(9), Moments::new(3));
            for _ in 0..600 {
                let tuning = [Tuning::default()];
                estimator.estimate(&mut model, &tuning, 100 * GROUP, &mut rng, &mut estimate).unwrap();
                for group in estimate.gradient(0).chunks(3 * GROUP) {
                    let mean: [f64; 3] =
                        std::array::from_fn(|k| group.iter().skip(k).step_by(3).sum::<f64>() / GROUP as f64);
                    moments.push(&mean);
                }
            }
            let certificate = certify(&moments, &exact, 1e-3).unwrap();
            assert!(certificate.passes(), "{family:?} {estimator}\n{certificate}");
        }
    }
}

/// The gradients by η, log λ and φ are the slopes of the mean of ‖ĝ‖² with the noise held fixed.
#[test]
fn learned_numbers_get_their_slopes() {
    use Coupling::{Coupled, Independent};
    for estimator in [Independent, Coupled]
        .into_iter()
        .flat_map(|c| [Estimator::Rebar(c), Estimator::Relax(c), Estimator::RelaxedRebar(c)])
    {
        for layer in 0..2 {
            let base = Tuning { gain: 0.7, ..Tuning::default() };
            let objective = |tuning: Tuning, phi: f64| {
                let (mut model, mut estimate) = (Layered { phi, ..Layered::new() }, Estimate::new());
                let tunings = if layer == 0 { [tuning, base] } else { [base, tuning] };
                estimator.estimate(&mut model, &tunings, 50, &mut rng(3), &mut estimate).unwrap();
                let slope = estimator.variance_gradient(&mut model, layer, &tuning, &mut estimate).unwrap();
                (mean_squared_norm(estimate.gradient(layer), 50), slope, model.d_phi)
            };
            let step = 1e-4;
            let (_, slope, d_phi) = objective(base, 0.3);
            let difference = |up: f64, down: f64| (up - down) / (2.0 * step);
            let at = |gain: f64, log_temperature: f64| {
                let moved = Tuning {
                    gain: base.gain + gain,
                    log_temperature: base.log_temperature + log_temperature,
                    ..base
                };
                objective(moved, 0.3).0
            };
            close(slope.gain, difference(at(step, 0.0), at(-step, 0.0)), 1e-4);
            close(slope.log_temperature, difference(at(0.0, step), at(0.0, -step)), 1e-4);
            close(d_phi, difference(objective(base, 0.3 + step).0, objective(base, 0.3 - step).0), 1e-4);
        }
    }
}

/// η and log λ descend the variance of REBAR, and a learned baseline REINFORCE's.
#[test]
fn learning_lowers_the_variance() {
    let mut model = Layered::new();
    let (mut estimate, mut rng) = (Estimate::new(), rng(5));
    let estimator = Estimator::Rebar(Coupling::Independent);
    let start = [Tuning { gain: 0.2, log_temperature: 1.0, ..Tuning::default() }; 2];
    let variance = |model: &mut Layered, tuning: &[Tuning; 2], estimate: &mut Estimate<f64>, rng: &mut _| {
        let mut moments = Moments::new(2);
        for _ in 0..100 {
            estimator.estimate(model, tuning, 100, rng, estimate).unwrap();
            moments.push(estimate.gradient(0));
        }
        moments.variance().iter().sum::<f64>()
    };
    let before = variance(&mut model, &start, &mut estimate, &mut rng);
    let mut tuning = start;
    for _ in 0..300 {
        estimator.estimate(&mut model, &tuning, 50, &mut rng, &mut estimate).unwrap();
        for (l, tuning) in tuning.iter_mut().enumerate() {
            let slope = estimator.variance_gradient(&mut model, l, tuning, &mut estimate).unwrap();
            tuning.gain -= 0.01 * slope.gain;
            tuning.log_temperature -= 0.01 * slope.log_temperature;
        }
    }
    let after = variance(&mut model, &tuning, &mut estimate, &mut rng);
    println!("REBAR, variance of the first layer: {before:.3} before, {after:.3} after {tuning:?}");
    assert!(after < 0.8 * before);

    let mut baseline = LearnedBaseline::new(0.05, relax_estimators::BaselineObjective::SquaredError);
    for _ in 0..200 {
        let tuning = [Tuning { baseline: baseline.value(), ..Tuning::default() }; 2];
        Estimator::Baseline.estimate(&mut model, &tuning, 20, &mut rng, &mut estimate).unwrap();
        baseline.update(estimate.score(0), estimate.f());
    }
    assert!(baseline.value() > 1.0);
}

#[test]
fn names_are_read_back_and_what_is_missing_is_said() {
    for estimator in Estimator::ALL {
        assert_eq!(estimator.name().parse::<Estimator>().unwrap(), estimator);
    }
    let error = "rebarr".parse::<Estimator>().unwrap_err().to_string();
    assert!(error.contains("rebarr") && error.contains("relaxed-rebar-coupled"), "{error}");
    let mut model = OneNode::new(Family::Bernoulli, vec![0.0_f32; 2], |b: &[f32]| b[0]);
    let mut try_it = |name: &str| {
        let estimator: Estimator = name.parse().unwrap();
        let tuning = [Tuning::default()];
        estimator.estimate(&mut model, &tuning, 3, &mut rng(1), &mut Estimate::new()).unwrap_err()
    };
    assert_eq!(try_it("rebar"), EstimatorError::NotDifferentiable);
    assert_eq!(try_it("muprop"), EstimatorError::NotDifferentiable);
    assert_eq!(try_it("relax"), EstimatorError::NoControlVariate);
    assert_eq!(try_it("surrogate"), EstimatorError::Groups { samples: 3, group: 2 });
    assert_eq!(try_it("leave-one-out"), EstimatorError::Groups { samples: 3, group: 2 });
    // There is nothing that the baseline of one node could depend on; of another model it must be given.
    let (tuning, mut estimate) = ([Tuning::default()], Estimate::new());
    Estimator::Nvil.estimate(&mut model, &tuning, 3, &mut rng(1), &mut estimate).unwrap();
    let error = Estimator::Nvil.estimate(&mut Bare, &tuning, 3, &mut rng(1), &mut estimate).unwrap_err();
    assert_eq!(error, EstimatorError::NoBaseline);
}

/// The least that a model must say.
struct Bare;

impl Model<f32> for Bare {
    type Error = EstimatorError;
    fn layers(&self) -> &[Layer] {
        const { &[Layer::bernoulli(1)] }
    }
    fn logits(&mut self, _: usize, _: &[Vec<f32>], logits: &mut [f32]) -> Result<(), EstimatorError> {
        logits.fill(0.0);
        Ok(())
    }
    fn value(&mut self, samples: &[Vec<f32>], f: &mut [f32]) -> Result<(), EstimatorError> {
        f.copy_from_slice(&samples[0]);
        Ok(())
    }
}

#[test]
#[should_panic(expected = "a layer without variables")]
fn a_node_without_variables_is_refused() {
    let mut model = OneNode::new(Family::Bernoulli, Vec::new(), |_: &[f64]| 0.0);
    let (mut rng, mut estimate) = (rng(1), Estimate::new());
    let _ = Estimator::Reinforce.estimate(&mut model, &[Tuning::default()], 2, &mut rng, &mut estimate);
}
