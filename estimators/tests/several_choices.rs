//! Several choices in one layer, which f judges together: unbiased, and the gradients that the learned numbers get.

use crate::common::{close, rng, wavy};
use relax_estimators::certify::{Moments, certify};
use relax_estimators::{
    ControlVariate, Coupling, Estimate, Estimator, EstimatorError, Layer, Objective, OneNode, Tuning, exact,
    mean_squared_norm,
};

/// Three choices among three in one layer: f judges them together, and they are relaxed together.
const SEVERAL: [f64; 9] = [0.5, -0.2, 0.1, -0.4, 0.9, 0.0, 0.3, 0.2, -0.8];

/// (a·x + 0.2)², all of its derivatives.
struct Square;

const A: [f64; 9] = [1.0, -2.0, 0.5, 0.3, -0.6, 1.5, -1.0, 0.7, 0.2];

fn along(x: &[f64]) -> f64 {
    x.iter().zip(A).map(|(x, a)| a * x).sum()
}

impl Objective<f64> for Square {
    fn value(&mut self, x: &[f64]) -> f64 {
        (along(x) + 0.2).powi(2)
    }
    fn gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<(), EstimatorError> {
        let slope = 2.0 * (along(x) + 0.2);
        gradient.iter_mut().zip(A).for_each(|(g, a)| *g = slope * a);
        Ok(())
    }
    fn hessian_vector(&mut self, _: &[f64], tangent: &[f64], out: &mut [f64]) -> Result<(), EstimatorError> {
        let curve = 2.0 * along(tangent);
        out.iter_mut().zip(A).for_each(|(o, a)| *o = curve * a);
        Ok(())
    }
}

/// φ·r(z).
struct Wavy(f64);

impl ControlVariate<f64> for Wavy {
    type Error = std::convert::Infallible;
    fn parameters(&self) -> usize {
        1
    }
    fn value_and_gradient(
        &mut self,
        z: &[f64],
        _: &[f64],
        c: &mut [f64],
        dc: &mut [f64],
    ) -> Result<(), Self::Error> {
        wavy(z, 9, c, dc);
        c.iter_mut().chain(dc).for_each(|x| *x *= self.0);
        Ok(())
    }
    fn parameter_gradient(
        &mut self,
        z: &[f64],
        _: &[f64],
        alpha: &[f64],
        beta: &[f64],
        d: &mut [f64],
    ) -> Result<(), Self::Error> {
        let (mut c, mut dc) = (vec![0.0; alpha.len()], vec![0.0; z.len()]);
        wavy(z, 9, &mut c, &mut dc);
        d[0] += alpha.iter().zip(&c).chain(beta.iter().zip(&dc)).map(|(a, v)| a * v).sum::<f64>();
        Ok(())
    }
}

fn several(phi: f64) -> OneNode<f64, Square, Wavy> {
    OneNode::of_layer(Layer::choices(3, 3), SEVERAL.to_vec(), Square, Wavy(phi))
}

#[test]
fn several_choices_in_one_layer() {
    let exact = exact::choices(&SEVERAL, 3, |b| Square.value(b)).unwrap().gradient;
    for estimator in Estimator::ALL.into_iter().filter(|e| !e.needs().surrogate) {
        let (mut model, mut estimate, mut rng, mut moments) =
            (several(0.6), Estimate::new(), rng(12), Moments::new(9));
        let group = estimator.needs().samples;
        for _ in 0..600 {
            let tuning = [Tuning { gain: 0.7, baseline: 1.5, ..Tuning::default() }];
            estimator.estimate(&mut model, &tuning, 100 * group, &mut rng, &mut estimate).unwrap();
            for rows in estimate.gradient(0).chunks(9 * group) {
                let mean: [f64; 9] =
                    std::array::from_fn(|k| rows.iter().skip(k).step_by(9).sum::<f64>() / group as f64);
                moments.push(&mean);
            }
        }
        let certificate = certify(&moments, &exact, 1e-3).unwrap();
        println!("{:<24} worst |z| {:6.2}", estimator.name(), certificate.worst());
        assert_eq!(certificate.passes(), estimator.is_unbiased(), "{estimator}\n{certificate}");
    }
}

#[test]
fn several_choices_get_their_slopes() {
    use Coupling::{Coupled, Independent};
    for estimator in [Independent, Coupled].map(Estimator::RelaxedRebar) {
        let objective = |gain: f64, log_temperature: f64, phi: f64| {
            let tuning = Tuning { gain, log_temperature, ..Tuning::default() };
            let (mut model, mut estimate) = (several(phi), Estimate::new());
            estimator.estimate(&mut model, &[tuning], 50, &mut rng(3), &mut estimate).unwrap();
            let slope = estimator.variance_gradient(&mut model, 0, &tuning, &mut estimate).unwrap();
            (mean_squared_norm(estimate.gradient(0), 50), slope, model.d_parameters[0])
        };
        let (step, (_, slope, d_phi)) = (1e-5, objective(0.7, -0.5, 0.6));
        let difference = |moved: &dyn Fn(f64) -> f64| (moved(step) - moved(-step)) / (2.0 * step);
        close(slope.gain, difference(&|by| objective(0.7 + by, -0.5, 0.6).0), 1e-6);
        close(slope.log_temperature, difference(&|by| objective(0.7, -0.5 + by, 0.6).0), 1e-6);
        close(d_phi, difference(&|by| objective(0.7, -0.5, 0.6 + by).0), 1e-6);
    }
}

/// MuProp's expansion is of all choices: f that adds up their numbers leaves no variance.
#[test]
fn several_choices_are_expanded_together() {
    let linear = exact::choices(&SEVERAL, 3, along).unwrap().gradient;
    struct Linear;
    impl Objective<f64> for Linear {
        fn value(&mut self, x: &[f64]) -> f64 {
            along(x)
        }
        fn gradient(&mut self, _: &[f64], gradient: &mut [f64]) -> Result<(), EstimatorError> {
            gradient.copy_from_slice(&A);
            Ok(())
        }
    }
    let mut model = OneNode::of_layer(Layer::choices(3, 3), SEVERAL.to_vec(), Linear, Wavy(0.0));
    let mut estimate = Estimate::new();
    Estimator::MuProp.estimate(&mut model, &[Tuning::default()], 20, &mut rng(1), &mut estimate).unwrap();
    for row in estimate.gradient(0).chunks(9) {
        row.iter().zip(&linear).for_each(|(&g, &e)| close(g, e, 1e-12));
    }
}
