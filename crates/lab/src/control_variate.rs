//! A neural network as the control variate of an estimator.

use std::convert::Infallible;

use relax_estimators::ControlVariate;
use relax_nn::{MlpShape, Workspace};

/// c(z), a perceptron with one output: what RELAX and relaxed-REBAR need beside f.
///
/// ```
/// use relax_lab::control_variate::NetworkControlVariate;
/// use relax_estimators::{Coupling, Estimate, Estimator, Family, OneNode, Tuning};
/// use relax_nn::{Activation, MlpShape, Optimizer, Rule};
///
/// let mut rng = relax_envs::EnvRng::from_seed(0);
/// let shape = MlpShape::new(3, &[16], 1, Activation::Tanh);
/// let c = NetworkControlVariate::new(shape.clone(), shape.orthogonal(&mut rng, 1.0, 0.0));
/// let f = |b: &[f64]| (b[0] + 2.0 * b[1] - b[2] - 0.5).powi(2);
/// let mut model = OneNode::with_control_variate(Family::Bernoulli, vec![0.0; 3], f, c);
/// let mut adam = Optimizer::new(Rule::ADAM, shape.parameter_count());
/// let (relax, tuning, mut estimate) = (Estimator::Relax(Coupling::Coupled), Tuning::default(), Estimate::new());
/// for _ in 0..10 {
///     relax.estimate(&mut model, &[tuning], 64, &mut rng, &mut estimate)?;
///     let gradient = estimate.gradient(0); // [64, 3]: unbiased, whatever c is
///     assert_eq!(gradient.len(), 64 * 3);
///     model.d_parameters.fill(0.0);
///     relax.variance_gradient(&mut model, 0, &tuning, &mut estimate)?;
///     adam.step(&mut model.control_variate.parameters, &model.d_parameters, 0.01, 1.0);
/// }
/// # Ok::<(), relax_estimators::EstimatorError>(())
/// ```
#[derive(Debug, Clone)]
pub struct NetworkControlVariate<F> {
    shape: MlpShape,
    /// φ, laid out as [`MlpShape::layout`] says.
    pub parameters: Vec<F>,
    workspace: Workspace<F>,
    /// What the pass before the gradient by φ writes and nobody reads.
    scratch: (Vec<F>, Vec<F>),
}

impl<F: relax_nn::Real> NetworkControlVariate<F> {
    /// The network `shape` with `parameters`.
    ///
    /// # Panics
    /// If the network has not one output, or another number of parameters.
    #[must_use]
    pub fn new(shape: MlpShape, parameters: Vec<F>) -> Self {
        assert_eq!(shape.output(), 1, "a control variate is one number");
        assert_eq!(shape.parameter_count(), parameters.len(), "the shape has another number of parameters");
        Self { shape, parameters, workspace: Workspace::new(), scratch: Default::default() }
    }

    /// The network.
    #[must_use]
    pub fn shape(&self) -> &MlpShape {
        &self.shape
    }
}

impl<F: relax_nn::Real + relax_estimators::Real> ControlVariate<F> for NetworkControlVariate<F> {
    type Error = Infallible;

    fn parameters(&self) -> usize {
        self.parameters.len()
    }

    fn value_and_gradient(
        &mut self,
        z: &[F],
        _: &[F],
        value: &mut [F],
        gradient: &mut [F],
    ) -> Result<(), Infallible> {
        self.shape.value_and_gradient(&self.parameters, z, &mut self.workspace, value, gradient);
        Ok(())
    }

    fn parameter_gradient(
        &mut self,
        z: &[F],
        _: &[F],
        alpha: &[F],
        beta: &[F],
        d_parameters: &mut [F],
    ) -> Result<(), Infallible> {
        let Self { shape, parameters, workspace, scratch: (value, gradient) } = self;
        // The workspace must be that of this z; what it held may be of another.
        let zero = <F as relax_nn::Real>::of(0.0);
        value.resize(alpha.len(), zero);
        gradient.resize(z.len(), zero);
        shape.value_and_gradient(parameters, z, workspace, value, gradient);
        shape.parameter_gradient(parameters, z, workspace, alpha, beta, d_parameters, None);
        Ok(())
    }
}
