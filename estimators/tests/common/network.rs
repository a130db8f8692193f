//! A perceptron of `relax-nn` as f and as control variate.

use relax_estimators::ControlVariate;
use relax_nn::{Activation, MlpShape, Workspace};
use std::convert::Infallible;

/// Both crates' notion of a number.
pub trait Scalar: relax_estimators::Real + relax_nn::Real {}
impl Scalar for f32 {}
impl Scalar for f64 {}

/// A scalar network over rows `[x, context]`.
pub struct Network<F: Scalar> {
    pub shape: MlpShape,
    pub parameters: Vec<F>,
    workspace: Workspace<F>,
}

impl<F: Scalar> Network<F> {
    pub fn new(shape: MlpShape, parameters: Vec<F>) -> Self {
        assert_eq!(parameters.len(), shape.parameter_count());
        Self { shape, parameters, workspace: Workspace::new() }
    }

    /// From the golden cases' list of layers `{w: [in][out], b: [out]}`, tanh between them.
    pub fn from_layers(layers: &serde_json::Value) -> Self {
        let widths: Vec<usize> =
            layers.as_array().unwrap().iter().map(|layer| layer["w"].as_array().unwrap().len()).collect();
        let shape = MlpShape::new(widths[0], &widths[1..], 1, Activation::Tanh);
        let parameters = flatten(layers).into_iter().map(<F as relax_estimators::Real>::from_f64).collect();
        Self::new(shape, parameters)
    }

    /// c(x), `[B]`.
    pub fn value(&mut self, x: &[F]) -> Vec<F> {
        let mut out = vec![F::default(); x.len() / self.shape.input()];
        self.shape.forward(&self.parameters, x, &mut self.workspace, &mut out);
        out
    }

    /// c(x) `[B]` and ∇c(x) `[B, in]`.
    pub fn gradient(&mut self, x: &[F]) -> (Vec<F>, Vec<F>) {
        let mut value = vec![F::default(); x.len() / self.shape.input()];
        let mut gradient = vec![F::default(); x.len()];
        self.shape.value_and_gradient(&self.parameters, x, &mut self.workspace, &mut value, &mut gradient);
        (value, gradient)
    }

    /// The Hessian of c at x times `tangent`, `[B, in]`.
    pub fn hessian_vector(&mut self, x: &[F], tangent: &[F]) -> Vec<F> {
        let (value, _) = self.gradient(x);
        let (alpha, mut unused, mut out) = (
            vec![F::default(); value.len()],
            vec![F::default(); self.parameters.len()],
            vec![F::default(); x.len()],
        );
        let shape = &self.shape;
        shape.parameter_gradient(
            &self.parameters,
            x,
            &self.workspace,
            &alpha,
            tangent,
            &mut unused,
            Some(&mut out),
        );
        out
    }

    /// Rows `[z, context]`.
    fn join(&self, z: &[F], context: &[F], rows: usize) -> Vec<F> {
        let (k, c) = (z.len() / rows, context.len() / rows);
        (0..rows).flat_map(|i| [&z[i * k..(i + 1) * k], &context[i * c..(i + 1) * c]].concat()).collect()
    }
}

impl<F: Scalar> ControlVariate<F> for Network<F> {
    type Error = Infallible;

    fn parameters(&self) -> usize {
        self.parameters.len()
    }

    fn value_and_gradient(
        &mut self,
        z: &[F],
        context: &[F],
        value: &mut [F],
        gradient: &mut [F],
    ) -> Result<(), Infallible> {
        let (rows, width) = (value.len(), self.shape.input());
        let (c, dc) = self.gradient(&self.join(z, context, rows));
        value.copy_from_slice(&c);
        for (out, row) in gradient.chunks_exact_mut(z.len() / rows).zip(dc.chunks_exact(width)) {
            out.copy_from_slice(&row[..out.len()]);
        }
        Ok(())
    }

    fn parameter_gradient(
        &mut self,
        z: &[F],
        context: &[F],
        alpha: &[F],
        beta: &[F],
        d_parameters: &mut [F],
    ) -> Result<(), Infallible> {
        let rows = alpha.len();
        let x = self.join(z, context, rows);
        let beta = self.join(beta, &vec![F::default(); context.len()], rows);
        self.gradient(&x);
        self.shape.parameter_gradient(
            &self.parameters,
            &x,
            &self.workspace,
            alpha,
            &beta,
            d_parameters,
            None,
        );
        Ok(())
    }
}

/// All numbers of a JSON value, in order; a layer's weight before its bias.
pub fn flatten(value: &serde_json::Value) -> Vec<f64> {
    match value {
        serde_json::Value::Number(x) => vec![x.as_f64().unwrap()],
        serde_json::Value::Array(items) => items.iter().flat_map(flatten).collect(),
        serde_json::Value::Object(layer) => [flatten(&layer["w"]), flatten(&layer["b"])].concat(),
        other => panic!("not a number: {other}"),
    }
}
