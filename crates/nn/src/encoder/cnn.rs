//! Convolutional encoders for pictures: convolutions, then one full layer, each followed by max(0, x).

use super::convolution::{Convolution, Unfolded};
use super::{Encoder, EncoderWorkspace, ObservationShape, Observations, Picture};
use crate::centring::{add_rows, push_means};
use crate::{Activation, AffineLayer, NamedSlice, NnError, Real, product};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

/// A convolutional network over pictures.
///
/// ```
/// use relax_nn::{Cnn, Encoder, ObservationShape};
/// let cnn = Cnn::nature(&ObservationShape { shape: vec![84, 84, 4], scale: 1.0 / 255.0 })?;
/// assert_eq!((cnn.features(), cnn.parameter_count()), (512, 1_684_128));
/// # Ok::<(), relax_nn::NnError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Cnn {
    name: &'static str,
    observation: ObservationShape,
    picture: Picture,
    convolutions: Vec<Convolution>,
    /// Of the full layer: what goes in, what comes out, and its weights.
    linear: (usize, usize, Range<usize>, Range<usize>),
}

/// What a forward pass leaves for the reverse pass.
#[derive(Debug, Clone, Default)]
pub struct CnnWorkspace<F> {
    /// What every convolution gave, `[B, OH, OW, O]`.
    activations: Vec<Vec<F>>,
    features: Vec<F>,
    /// Of what each layer took, when it was last reversed.
    means: Vec<F>,
}

/// Arrays that no pass leaves for another: one set a thread.
#[derive(Debug, Default)]
pub struct CnnScratch<F> {
    unfolded: Unfolded<F>,
    pixels: Vec<F>,
    bytes: Vec<u8>,
    /// Gradients on their way down.
    down: [Vec<F>; 2],
}

impl Cnn {
    /// The encoder of DQN: 32 filters of 8 × 8 every 4 pixels, 64 of 4 × 4 every 2, 64 of 3 × 3, then 512 features.
    ///
    /// Reference: Mnih et al. 2015 (Nature 518), Methods. Pictures of at least 36 × 36 pixels.
    ///
    /// # Errors
    /// If an observation is no picture, or too small.
    pub fn nature(observation: &ObservationShape) -> Result<Self, NnError> {
        Self::new("nature-cnn", observation, &[(32, 8, 4), (64, 4, 2), (64, 3, 1)], 512)
    }

    /// The encoder of MinAtar's agents: 16 filters of 3 × 3, then 128 features.
    ///
    /// Reference: Young & Tian 2019 (arXiv:1903.03176), §4. Pictures of at least 3 × 3 pixels.
    ///
    /// # Errors
    /// As [`nature`](Self::nature).
    pub fn small(observation: &ObservationShape) -> Result<Self, NnError> {
        Self::new("small-cnn", observation, &[(16, 3, 1)], 128)
    }

    /// Convolutions given as (filters, side of a filter, pixels between them), then `features` features.
    ///
    /// # Errors
    /// As [`nature`](Self::nature).
    ///
    /// # Panics
    /// If there is none, or one of the numbers is 0.
    pub fn new(
        name: &'static str,
        observation: &ObservationShape,
        convolutions: &[(usize, usize, usize)],
        features: usize,
    ) -> Result<Self, NnError> {
        let refuse = |why: &str| NnError::Encoder {
            encoder: name.to_owned(),
            why: format!("it sees pictures, and observations of shape {:?} {why}", observation.shape),
        };
        assert!(!convolutions.is_empty(), "at least one convolution");
        let picture = Picture::of(observation).ok_or_else(|| refuse("are none"))?;
        let mut end = 0;
        let mut take = |len: usize| {
            end += len;
            end - len..end
        };
        let mut input = [picture.height, picture.width, picture.channels];
        let mut made = Vec::with_capacity(convolutions.len());
        for &(filters, kernel, stride) in convolutions {
            assert!(
                filters > 0 && kernel > 0 && stride > 0,
                "{filters} filters, {kernel} wide, every {stride}"
            );
            if input[0] < kernel || input[1] < kernel {
                return Err(refuse("are too small for its filters"));
            }
            let output = [(input[0] - kernel) / stride + 1, (input[1] - kernel) / stride + 1, filters];
            let bias = take(filters);
            let weight = take(kernel * kernel * input[2] * filters);
            made.push(Convolution { input, output, kernel, stride, bias, weight });
            input = output;
        }
        let width = input.iter().product();
        let bias = take(features);
        let linear = (width, features, bias, take(width * features));
        Ok(Self { name, observation: observation.clone(), picture, convolutions: made, linear })
    }

    /// Its convolutions as (filters, side of a filter, pixels between them).
    pub(super) fn layers(&self) -> Vec<(usize, usize, usize)> {
        self.convolutions.iter().map(|c| (c.output[2], c.kernel, c.stride)).collect()
    }

    /// What it sees of an observation.
    pub(super) fn picture(&self) -> &Picture {
        &self.picture
    }

    /// Multiplications and additions of one forward pass of one picture.
    #[must_use]
    pub fn forward_flops(&self) -> usize {
        let convolutions = self.convolutions.iter().map(|c| 2 * c.given() * c.fan_in());
        convolutions.sum::<usize>() + 2 * self.linear.0 * self.linear.1
    }

    /// Pixels between two places of each convolution's filters.
    #[must_use]
    pub fn strides(&self) -> Vec<usize> {
        self.convolutions.iter().map(|c| c.stride).collect()
    }

    /// features `[B, F]` ← the network at observations `[B, D]`.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn forward<'a, F: Real>(
        &self,
        parameters: &[F],
        observations: impl Into<Observations<'a, F>>,
        workspace: &mut CnnWorkspace<F>,
        features: &mut [F],
    ) {
        let observations = observations.into();
        let rows = observations.count(self.picture.numbers());
        let (width, count, bias, weight) = &self.linear;
        assert_eq!(features.len(), rows * count, "length of the features");
        workspace.activations.resize_with(self.convolutions.len(), Vec::new);
        F::with_cnn_scratch(|CnnScratch { unfolded, pixels, bytes, .. }| {
            for (l, convolution) in self.convolutions.iter().enumerate() {
                let (below, rest) = workspace.activations.split_at_mut(l);
                let (taken, given, together) =
                    (convolution.taken(), convolution.given(), convolution.together());
                rest[0].resize(rows * given, F::ZERO);
                for (i, out) in rest[0].chunks_mut(together * given).enumerate() {
                    let first = i * together;
                    let rows = first..first + out.len() / given;
                    let pictures = match below.last() {
                        Some(below) => &below[rows.start * taken..rows.end * taken],
                        None => self.unpack(observations.rows(rows, taken), pixels, bytes),
                    };
                    convolution.forward(parameters, pictures, out, unfolded);
                }
            }
        });
        let last = workspace.activations.last().map_or(&[][..], Vec::as_slice);
        product::product(features, last, &parameters[weight.clone()], *width, *count);
        Activation::Relu.add_bias_and_activate(features, &parameters[bias.clone()]);
        workspace.features.clear();
        workspace.features.extend_from_slice(features);
    }

    /// Sends `d_features` `[B, F]` back: adds the gradient of the weights to `d_parameters`. Must follow
    /// [`forward`](Self::forward) with the same weights and observations.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn reverse<'a, F: Real>(
        &self,
        parameters: &[F],
        observations: impl Into<Observations<'a, F>>,
        workspace: &mut CnnWorkspace<F>,
        d_features: &[F],
        d_parameters: &mut [F],
    ) {
        let observations = observations.into();
        let rows = observations.count(self.picture.numbers());
        let (width, count, bias, weight) = &self.linear;
        assert_eq!(d_features.len(), rows * count, "length of the features' gradient");
        assert_eq!(workspace.features.len(), d_features.len(), "a forward pass of as many rows");
        let CnnWorkspace { activations, features, means } = workspace;
        means.clear();
        means.resize(self.picture.channels, F::ZERO);
        let of_one = F::of(self.picture.channels as f64 / (rows * self.picture.numbers()).max(1) as f64);
        F::with_cnn_scratch(|CnnScratch { unfolded, pixels, bytes, down: [current, next] }| {
            next.resize(d_features.len(), F::ZERO);
            Activation::Relu.slope_times(next, d_features, features);
            let last = activations.last().map_or(&[][..], Vec::as_slice);
            product::add_outer(&mut d_parameters[weight.clone()], last, next, *width, *count);
            product::add_rows(&mut d_parameters[bias.clone()], next);
            current.resize(last.len(), F::ZERO);
            product::product_transposed(current, next, &parameters[weight.clone()], *count, *width);
            for (l, convolution) in self.convolutions.iter().enumerate().rev() {
                Activation::Relu.multiply_by_slope(current, &activations[l]);
                let (taken, given, together) =
                    (convolution.taken(), convolution.given(), convolution.together());
                next.resize(if l > 0 { rows * taken } else { 0 }, F::ZERO);
                for (i, d) in current.chunks(together * given).enumerate() {
                    let rows = i * together..i * together + d.len() / given;
                    let place = rows.start * taken..rows.end * taken;
                    let (pictures, d_pictures) = match l {
                        0 => {
                            let pixels = self.unpack(observations.rows(rows, taken), pixels, bytes);
                            add_rows(pixels, of_one, means);
                            (pixels, None)
                        }
                        _ => (&activations[l - 1][place.clone()], Some(&mut next[place])),
                    };
                    convolution.reverse(parameters, pictures, d, d_parameters, d_pictures, unfolded);
                }
                std::mem::swap(current, next);
            }
        });
        let convolutions = self.convolutions.iter().skip(1).map(|convolution| convolution.input[2]);
        for (activations, width) in activations.iter().zip(convolutions.chain([*width])) {
            push_means(activations, width, means);
        }
    }

    /// Scales the weights of each layer, from the first to the last, and sets its biases, so that what it gives before max(0, x) has mean 0
    /// and variance 1 over the `batches`: every unit then tells some of their observations from others. With biases of 0, a unit that sees
    /// one grey background in all of them is dead to all or lit by all. A unit's weights are scaled by 100 at most.
    ///
    /// Reference: Salimans & Kingma 2016 (arXiv:1602.07868), §3, of layers without their g.
    pub fn standardise<F: Real>(&self, parameters: &mut [F], batches: &[Observations<'_, F>]) {
        let unpacked = |x: &Observations<'_, F>| {
            F::with_cnn_scratch(|CnnScratch { pixels, bytes, .. }| self.unpack(*x, pixels, bytes).to_vec())
        };
        let mut taken: Vec<Vec<F>> = batches.iter().map(unpacked).collect();
        let convolutions = self.convolutions.iter().map(|c| (Some(c), &c.bias, &c.weight));
        let (_, _, bias, weight) = &self.linear;
        for (convolution, bias, weight) in convolutions.chain([(None, bias, weight)]) {
            let width = bias.len();
            let mut given: Vec<Vec<F>> =
                taken.iter().map(|x| self.weigh(convolution, parameters, x)).collect();
            let mut moments = vec![(0.0, 0.0); width];
            let rows = given.iter().flat_map(|x| x.chunks_exact(width));
            let count = rows.clone().count().max(1) as f64;
            for row in rows {
                for ((sum, squares), x) in moments.iter_mut().zip(row) {
                    *sum += x.wide();
                    *squares += x.wide() * x.wide();
                }
            }
            let scaled = |(sum, squares): (f64, f64)| {
                let mean: f64 = sum / count;
                (mean, 1.0 / (squares / count - mean * mean).max(1e-4).sqrt())
            };
            let units: Vec<(F, F)> =
                moments.into_iter().map(scaled).map(|(mean, scale)| (F::of(mean), F::of(scale))).collect();
            for row in parameters[weight.clone()].chunks_exact_mut(width) {
                row.iter_mut().zip(&units).for_each(|(w, &(_, scale))| *w *= scale);
            }
            let biases = parameters[bias.clone()].iter_mut().zip(&units);
            biases.for_each(|(b, &(mean, scale))| *b = -(mean * scale));
            for row in given.iter_mut().flat_map(|x| x.chunks_exact_mut(width)) {
                row.iter_mut()
                    .zip(&units)
                    .for_each(|(x, &(mean, scale))| *x = ((*x - mean) * scale).larger(F::ZERO));
            }
            taken = given;
        }
    }

    /// What a convolution, or the full layer, gives of what it takes, without biases and before max(0, x).
    fn weigh<F: Real>(&self, convolution: Option<&Convolution>, parameters: &[F], x: &[F]) -> Vec<F> {
        let Some(convolution) = convolution else {
            let (width, count, _, weight) = &self.linear;
            let mut out = vec![F::ZERO; x.len() / width * count];
            product::product(&mut out, x, &parameters[weight.clone()], *width, *count);
            return out;
        };
        let (taken, given, together) = (convolution.taken(), convolution.given(), convolution.together());
        let mut out = vec![F::ZERO; x.len() / taken * given];
        F::with_cnn_scratch(|CnnScratch { unfolded, .. }| {
            for (x, out) in x.chunks(together * taken).zip(out.chunks_mut(together * given)) {
                convolution.weigh(parameters, x, out, unfolded);
            }
        });
        out
    }

    /// The pixels of some observations.
    fn unpack<'a, F: Real>(
        &self,
        observations: Observations<'_, F>,
        pixels: &'a mut Vec<F>,
        bytes: &mut Vec<u8>,
    ) -> &'a [F] {
        let numbers = self.picture.numbers();
        pixels.resize(observations.count(numbers) * numbers, F::ZERO);
        let pictures = pixels.chunks_exact_mut(numbers);
        match observations {
            Observations::Numbers(observations) => {
                let rows = observations.chunks_exact(numbers).zip(pictures);
                rows.for_each(|(observation, pixels)| self.picture.unpack(observation, pixels, |x| x));
            }
            Observations::Bytes(stacks) => {
                for (row, pixels) in pictures.enumerate() {
                    stacks.bytes_of(row, bytes);
                    self.picture.unpack(bytes, pixels, |byte| F::of(byte.into()));
                }
            }
        }
        pixels
    }

    /// Fresh weights: normal with variance 2/(weights of a filter), biases 0.
    ///
    /// Reference: He et al. 2015 (arXiv:1502.01852), eq. 10. (Orthogonal ones, as in the heads, would take seconds at this size.)
    pub fn he<F: Real>(&self, parameters: &mut [F], rng: &mut dyn Rng) {
        parameters.fill(F::ZERO);
        let (width, _, _, weight) = &self.linear;
        let convolutions = self.convolutions.iter().map(|c| (c.fan_in(), &c.weight));
        for (fan_in, weight) in convolutions.chain([(*width, weight)]) {
            let deviation = (2.0 / fan_in as f64).sqrt();
            for w in &mut parameters[weight.clone()] {
                let normal: f64 = StandardNormal.sample(rng);
                *w = F::of(deviation * normal);
            }
        }
    }
}

impl Encoder for Cnn {
    fn name(&self) -> &str {
        self.name
    }

    fn observation(&self) -> &ObservationShape {
        &self.observation
    }

    fn features(&self) -> usize {
        self.linear.1
    }

    fn layout(&self) -> Vec<NamedSlice> {
        let mut slices = Vec::with_capacity(2 * self.convolutions.len() + 2);
        let mut push = |name: String, range: &Range<usize>, shape: Vec<usize>| {
            slices.push(NamedSlice { name, range: range.clone(), shape });
        };
        for (i, c) in self.convolutions.iter().enumerate() {
            push(format!("convolution{i}.bias"), &c.bias, vec![c.output[2]]);
            let shape = vec![c.kernel, c.kernel, c.input[2], c.output[2]];
            push(format!("convolution{i}.weight"), &c.weight, shape);
        }
        let (width, count, bias, weight) = &self.linear;
        push("linear.bias".into(), bias, vec![*count]);
        push("linear.weight".into(), weight, vec![*width, *count]);
        slices
    }

    fn affine_layers(&self) -> Vec<AffineLayer> {
        let mut end = 0;
        let mut layer = |weight: &Range<usize>, bias: &Range<usize>, inputs: usize| {
            end += inputs;
            AffineLayer { weight: weight.clone(), bias: bias.clone(), inputs: end - inputs..end }
        };
        let mut layers: Vec<_> =
            self.convolutions.iter().map(|c| layer(&c.weight, &c.bias, c.input[2])).collect();
        let (width, _, bias, weight) = &self.linear;
        layers.push(layer(weight, bias, *width));
        layers
    }

    fn input_means(&self, workspace: &mut EncoderWorkspace, means: &mut Vec<f32>) {
        means.extend_from_slice(&workspace.made::<CnnWorkspace<f32>>().means);
    }

    fn initialise(&self, parameters: &mut [f32], rng: &mut dyn Rng) {
        self.he(parameters, rng);
    }

    fn initialise_from(&self, parameters: &mut [f32], batches: &[Observations<'_>]) {
        self.standardise(parameters, batches);
    }

    fn forward(
        &self,
        parameters: &[f32],
        observations: Observations<'_>,
        workspace: &mut EncoderWorkspace,
        features: &mut [f32],
    ) -> Result<(), NnError> {
        Self::forward(self, parameters, observations, workspace.made(), features);
        Ok(())
    }

    fn reverse(
        &self,
        parameters: &[f32],
        observations: Observations<'_>,
        workspace: &mut EncoderWorkspace,
        d_features: &[f32],
        d_parameters: &mut [f32],
    ) -> Result<(), NnError> {
        Self::reverse(self, parameters, observations, workspace.made(), d_features, d_parameters);
        Ok(())
    }
}
