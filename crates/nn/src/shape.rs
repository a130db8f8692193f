//! The shape of a multilayer perceptron and the layout of its one flat parameter vector.

use crate::{Activation, Real, init};
use rand::Rng;
use std::ops::Range;

/// Input width, hidden widths, output width and activation of a multilayer perceptron.
///
/// All weights and biases lie in one flat vector: for each layer the weight `[in, out]` in row-major order, then the
/// bias `[out]`. Hidden layers are activated, the output is linear. There may be no hidden layer.
///
/// ```
/// use relax_nn::{Activation, MlpShape};
/// let shape = MlpShape::new(4, &[64, 64], 2, Activation::Tanh);
/// assert_eq!(shape.parameter_count(), 4 * 64 + 64 + 64 * 64 + 64 + 64 * 2 + 2);
/// assert_eq!(shape.layout()[0].name, "0.weight");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MlpShape {
    widths: Vec<usize>,
    activation: Activation,
    layers: Vec<Layer>,
    tail: Option<(String, usize)>,
    parameter_count: usize,
}

/// Where one affine layer lies in the parameter vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub input: usize,
    pub output: usize,
    pub weight: Range<usize>,
    pub bias: Range<usize>,
}

/// One named array of the flat parameter vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSlice {
    /// `<layer>.weight` or `<layer>.bias`.
    pub name: String,
    /// Its place in the parameter vector.
    pub range: Range<usize>,
    /// `[in, out]` or `[out]`.
    pub shape: Vec<usize>,
}

impl MlpShape {
    /// A perceptron of `input` → `hidden`… → `output`.
    ///
    /// # Panics
    /// If a width is 0.
    #[must_use]
    pub fn new(input: usize, hidden: &[usize], output: usize, activation: Activation) -> Self {
        let widths: Vec<usize> =
            std::iter::once(input).chain(hidden.iter().copied()).chain([output]).collect();
        assert!(
            widths.iter().all(|&width| width > 0),
            "every width of a network must be at least 1: {widths:?}"
        );
        let mut end = 0;
        let mut take = |len: usize| {
            end += len;
            end - len..end
        };
        let layers: Vec<Layer> = widths
            .windows(2)
            .map(|w| Layer { input: w[0], output: w[1], weight: take(w[0] * w[1]), bias: take(w[1]) })
            .collect();
        Self { widths, activation, layers, tail: None, parameter_count: end }
    }

    /// The same network with `len` more parameters at the end of the vector, under a name of their own: numbers that
    /// are trained along with the network but are no part of it, such as a Gaussian policy's log-standard-deviations.
    /// The passes neither read them nor touch their gradient.
    #[must_use]
    pub fn with_tail(mut self, name: &str, len: usize) -> Self {
        self.parameter_count += len;
        self.tail = Some((name.to_owned(), len));
        self
    }

    /// Where the tail lies in the parameter vector; empty if there is none.
    #[must_use]
    pub fn tail(&self) -> Range<usize> {
        let len = self.tail.as_ref().map_or(0, |(_, len)| *len);
        self.parameter_count - len..self.parameter_count
    }

    /// Width of the input.
    #[must_use]
    pub fn input(&self) -> usize {
        self.widths[0]
    }

    /// Width of the output.
    #[must_use]
    pub fn output(&self) -> usize {
        self.widths[self.widths.len() - 1]
    }

    /// Widths of the hidden layers.
    #[must_use]
    pub fn hidden(&self) -> &[usize] {
        &self.widths[1..self.widths.len() - 1]
    }

    /// Activation of the hidden layers.
    #[must_use]
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// Length of the parameter vector.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.parameter_count
    }

    /// Rewrites the first layer in `parameters` so that the network says of x what it said of x · `factor` + `offset`, both `[in]`.
    ///
    /// ```
    /// use relax_nn::{Activation, MlpShape};
    /// let shape = MlpShape::new(2, &[], 1, Activation::Tanh);
    /// let mut parameters = [3.0, 5.0, 1.0]; // 3 x₁ + 5 x₂ + 1
    /// shape.move_input(&mut parameters, &[2.0, 1.0], &[0.0, 4.0]);
    /// assert_eq!(parameters, [6.0, 5.0, 21.0]);
    /// shape.scale_output(&mut parameters, 0.5);
    /// assert_eq!(parameters, [3.0, 2.5, 10.5]); // without hidden layers the first is the last
    /// ```
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn move_input<F: Real>(&self, parameters: &mut [F], factor: &[F], offset: &[F]) {
        assert_eq!(parameters.len(), self.parameter_count, "length of the parameter vector");
        let Layer { input, output, weight, bias } = &self.layers[0];
        assert_eq!((factor.len(), offset.len()), (*input, *input), "numbers of the input");
        let (weights, rest) = parameters.split_at_mut(weight.end);
        let (weights, biases) = (&mut weights[weight.start..], &mut rest[..bias.len()]);
        for ((row, &factor), &offset) in weights.chunks_exact_mut(*output).zip(factor).zip(offset) {
            for (w, b) in row.iter_mut().zip(&mut *biases) {
                *b += *w * offset;
                *w *= factor;
            }
        }
    }

    /// Multiplies what the network with these `parameters` says by `factor`.
    ///
    /// # Panics
    /// If the parameters' number does not fit.
    pub fn scale_output<F: Real>(&self, parameters: &mut [F], factor: F) {
        assert_eq!(parameters.len(), self.parameter_count, "length of the parameter vector");
        if let Some(Layer { weight, bias, .. }) = self.layers.last() {
            parameters[weight.start..bias.end].iter_mut().for_each(|p| *p *= factor);
        }
    }

    /// Multiplications and additions of one forward pass of one row.
    #[must_use]
    pub fn forward_flops(&self) -> usize {
        self.layers.iter().map(|layer| 2 * layer.input * layer.output).sum()
    }

    /// The named arrays of the parameter vector, in order.
    #[must_use]
    pub fn layout(&self) -> Vec<NamedSlice> {
        let mut slices = Vec::with_capacity(2 * self.layers.len());
        for (i, layer) in self.layers.iter().enumerate() {
            slices.push(NamedSlice {
                name: format!("{i}.weight"),
                range: layer.weight.clone(),
                shape: vec![layer.input, layer.output],
            });
            slices.push(NamedSlice {
                name: format!("{i}.bias"),
                range: layer.bias.clone(),
                shape: vec![layer.output],
            });
        }
        if let Some((name, len)) = &self.tail {
            slices.push(NamedSlice { name: name.clone(), range: self.tail(), shape: vec![*len] });
        }
        slices
    }

    /// Fresh parameters: orthogonal weights with gain `hidden_gain` (√2 is usual) in the hidden layers and
    /// `output_gain` in the last (0 makes the net exactly 0), biases 0.
    ///
    /// Reference: Saxe, McClelland & Ganguli 2014; gains as in Stable-Baselines3.
    pub fn orthogonal<F: Real>(&self, rng: &mut impl Rng, hidden_gain: f64, output_gain: f64) -> Vec<F> {
        let mut parameters = vec![F::ZERO; self.parameter_count];
        for (i, layer) in self.layers.iter().enumerate() {
            let gain = if i + 1 == self.layers.len() { output_gain } else { hidden_gain };
            init::orthogonal(&mut parameters[layer.weight.clone()], layer.input, layer.output, gain, rng);
        }
        parameters
    }

    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }
}
