//! A network that may have an encoder in front of its fused head: one flat parameter vector, the encoder's weights first.

use crate::centring::push_means;
use crate::{AffineLayer, Encoder, EncoderWorkspace, MlpShape, NamedSlice, NnError, Observations, Workspace};
use rand::Rng;
use std::ops::Range;
use std::sync::Arc;

/// A perceptron on features that an encoder makes of observations, or on the observations themselves.
///
/// Without an encoder it is the perceptron: the same vector, the same passes, the same bits.
///
/// ```
/// use relax_nn::{Activation, Cnn, EncodedShape, MlpShape, ObservationShape};
/// let cnn = Cnn::small(&ObservationShape { shape: vec![10, 10, 4], scale: 1.0 })?;
/// let head = MlpShape::new(128, &[], 6, Activation::Tanh);
/// let net = EncodedShape::new(Some(std::sync::Arc::new(cnn)), head);
/// assert_eq!((net.input(), net.output()), (400, 6));
/// let names: Vec<String> = net.layout().into_iter().map(|slice| slice.name).collect();
/// assert_eq!(names[0], "encoder.convolution0.bias");
/// assert_eq!(names[4], "0.weight");
/// # Ok::<(), relax_nn::NnError>(())
/// ```
#[derive(Debug, Clone)]
pub struct EncodedShape {
    encoder: Option<Arc<dyn Encoder>>,
    /// The encoder's weights.
    encoded: usize,
    /// The encoder's layers that are centred.
    layers: Vec<AffineLayer>,
    head: MlpShape,
}

/// What one network's forward pass leaves for its reverse pass.
#[derive(Debug, Default)]
pub struct EncodedWorkspace {
    head: Workspace<f32>,
    encoder: EncoderWorkspace,
    /// `[B, F]`.
    features: Vec<f32>,
    d_features: Vec<f32>,
}

impl EncodedWorkspace {
    /// What the head's passes left.
    #[must_use]
    pub fn head(&self) -> &Workspace<f32> {
        &self.head
    }

    /// As [`head`](Self::head), for further passes.
    pub fn head_mut(&mut self) -> &mut Workspace<f32> {
        &mut self.head
    }

    /// The features `[B, F]` of the last forward pass; empty without an encoder.
    #[must_use]
    pub fn features(&self) -> &[f32] {
        &self.features
    }
}

/// The same encoder, by name and observations, and the same head.
impl PartialEq for EncodedShape {
    fn eq(&self, other: &Self) -> bool {
        let of =
            |shape: &Self| shape.encoder.as_ref().map(|e| (e.name().to_owned(), e.observation().clone()));
        self.head == other.head && self.encoded == other.encoded && of(self) == of(other)
    }
}

impl From<MlpShape> for EncodedShape {
    fn from(head: MlpShape) -> Self {
        Self::new(None, head)
    }
}

impl EncodedShape {
    /// `head` behind `encoder`.
    ///
    /// # Panics
    /// If the head is not as wide as the features.
    #[must_use]
    pub fn new(encoder: Option<Arc<dyn Encoder>>, head: MlpShape) -> Self {
        let width = encoder.as_ref().map_or(head.input(), |encoder| encoder.features());
        assert_eq!(head.input(), width, "the head's input must be the encoder's features");
        let encoded = encoder.as_ref().map_or(0, |encoder| encoder.parameter_count());
        let layers = encoder.as_ref().map(|encoder| encoder.affine_layers()).unwrap_or_default();
        Self { encoder, encoded, layers, head }
    }

    /// The encoder, if there is one.
    #[must_use]
    pub fn encoder(&self) -> Option<&Arc<dyn Encoder>> {
        self.encoder.as_ref()
    }

    /// The perceptron.
    #[must_use]
    pub fn head(&self) -> &MlpShape {
        &self.head
    }

    /// Where the perceptron's weights (and its tail) lie in the parameter vector: behind the encoder's.
    #[must_use]
    pub fn head_range(&self) -> Range<usize> {
        self.encoded..self.parameter_count()
    }

    /// Numbers of one observation.
    #[must_use]
    pub fn input(&self) -> usize {
        self.encoder.as_ref().map_or(self.head.input(), |encoder| encoder.observation().numbers())
    }

    /// Width of the output.
    #[must_use]
    pub fn output(&self) -> usize {
        self.head.output()
    }

    /// Length of the parameter vector.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.encoded + self.head.parameter_count()
    }

    /// Where the [tail](MlpShape::with_tail) lies in the parameter vector.
    #[must_use]
    pub fn tail(&self) -> Range<usize> {
        let tail = self.head.tail();
        self.encoded + tail.start..self.encoded + tail.end
    }

    /// The named arrays of the parameter vector, in order: the encoder's under `encoder.`, then the perceptron's.
    #[must_use]
    pub fn layout(&self) -> Vec<NamedSlice> {
        let of_encoder = self.encoder.iter().flat_map(|encoder| encoder.layout());
        let of_encoder = of_encoder.map(|s| NamedSlice { name: format!("encoder.{}", s.name), ..s });
        let shifted = self.head.layout().into_iter().map(|s| {
            let range = self.encoded + s.range.start..self.encoded + s.range.end;
            NamedSlice { range, ..s }
        });
        of_encoder.chain(shifted).collect()
    }

    /// Fresh parameters: the encoder's own, then [`MlpShape::orthogonal`].
    pub fn initial<R: Rng>(&self, rng: &mut R, hidden_gain: f64, output_gain: f64) -> Vec<f32> {
        let Some(encoder) = &self.encoder else { return self.head.orthogonal(rng, hidden_gain, output_gain) };
        let mut parameters = vec![0.0; self.encoded];
        encoder.initialise(&mut parameters, rng);
        parameters.extend(self.head.orthogonal::<f32>(rng, hidden_gain, output_gain));
        parameters
    }

    /// [Fits](Encoder::initialise_from) the fresh weights of the encoder, if there is one, to the first observations that there are.
    pub fn initialise_from(&self, parameters: &mut [f32], batches: &[Observations<'_>]) {
        if let Some(encoder) = &self.encoder {
            encoder.initialise_from(&mut parameters[..self.encoded], batches);
        }
    }

    /// output `[B, out]` ← the network at observations `[B, D]`.
    ///
    /// # Errors
    /// If the encoder cannot compute it.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn forward<'a>(
        &self,
        parameters: &[f32],
        observations: impl Into<Observations<'a>>,
        workspace: &mut EncodedWorkspace,
        output: &mut [f32],
    ) -> Result<(), NnError> {
        let EncodedWorkspace { head, encoder: passes, features, .. } = workspace;
        let Some(encoder) = &self.encoder else {
            self.head.forward(parameters, observations.into().numbers(), head, output);
            return Ok(());
        };
        let observations = observations.into();
        let (of_encoder, of_head) = parameters.split_at(self.encoded);
        let rows = observations.count(encoder.observation().numbers());
        features.resize(rows * encoder.features(), 0.0);
        encoder.forward(of_encoder, observations, passes, features)?;
        self.head.forward(of_head, &*features, head, output);
        Ok(())
    }

    /// Sends `d_output` `[B, out]` back: adds the gradient of all weights to `d_parameters`. Must follow
    /// [`forward`](Self::forward) with the same weights and observations.
    ///
    /// # Errors
    /// If the encoder cannot compute it.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn reverse<'a>(
        &self,
        parameters: &[f32],
        observations: impl Into<Observations<'a>>,
        workspace: &mut EncodedWorkspace,
        d_output: &[f32],
        d_parameters: &mut [f32],
    ) -> Result<(), NnError> {
        let EncodedWorkspace { head, encoder: passes, features, d_features } = workspace;
        let Some(encoder) = &self.encoder else {
            let x = observations.into().numbers();
            self.head.reverse(parameters, x, head, d_output, d_parameters, None);
            return Ok(());
        };
        let (of_encoder, of_head) = parameters.split_at(self.encoded);
        let (d_encoder, d_head) = d_parameters.split_at_mut(self.encoded);
        d_features.resize(features.len(), 0.0);
        self.head.reverse(of_head, &*features, head, d_output, d_head, Some(d_features));
        encoder.reverse(of_encoder, observations.into(), passes, d_features, d_encoder)
    }

    /// As [`reverse`](Self::reverse), but the gradient takes the place of what was in `d_parameters`; that of the
    /// [tail](Self::tail) is left alone.
    ///
    /// # Errors
    /// As `reverse`.
    ///
    /// # Panics
    /// As `reverse`.
    pub fn reverse_replacing<'a>(
        &self,
        parameters: &[f32],
        observations: impl Into<Observations<'a>>,
        workspace: &mut EncodedWorkspace,
        d_output: &[f32],
        d_parameters: &mut [f32],
    ) -> Result<(), NnError> {
        if self.encoder.is_some() {
            d_parameters[..self.tail().start].fill(0.0);
            return self.reverse(parameters, observations, workspace, d_output, d_parameters);
        }
        let x = observations.into().numbers();
        self.head.reverse_replacing(parameters, x, &workspace.head, d_output, d_parameters, None);
        Ok(())
    }

    /// The layers whose steps are [centred](crate::Centring), those of the encoder, with their places among
    /// [`encoder_means`](Self::encoder_means), and the head's first, which takes the features, with its places in the head's vector and
    /// among [`feature_means`](Self::feature_means). None without an encoder, and none of one that has none.
    #[must_use]
    pub fn affine_layers(&self) -> Option<(&[AffineLayer], AffineLayer)> {
        let [weight, bias] = [0, 1].map(|i| self.head.layout()[i].range.clone());
        let first = AffineLayer { weight, bias, inputs: 0..self.head.input() };
        (!self.layers.is_empty()).then_some((&self.layers, first))
    }

    /// Appends the means over the batch last [reversed](Self::reverse) of what the encoder's layers took to `means`.
    pub fn encoder_means(&self, workspace: &mut EncodedWorkspace, means: &mut Vec<f32>) {
        if let Some(encoder) = &self.encoder {
            encoder.input_means(&mut workspace.encoder, means);
        }
    }

    /// Appends the means over the batch last sent [forward](Self::forward) of the features to `means`, where layers are centred.
    pub fn feature_means(&self, workspace: &EncodedWorkspace, means: &mut Vec<f32>) {
        if !self.layers.is_empty() {
            push_means(&workspace.features, self.head.input(), means);
        }
    }

    /// output `[B, out]` ← the head at the features that the last [`forward`](Self::forward) of these observations left, whatever
    /// the encoder's weights are by now. Without an encoder, `forward`.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn forward_head<'a>(
        &self,
        parameters: &[f32],
        observations: impl Into<Observations<'a>>,
        workspace: &mut EncodedWorkspace,
        output: &mut [f32],
    ) {
        let EncodedWorkspace { head, features, .. } = workspace;
        let seen = if self.encoder.is_some() { features } else { observations.into().numbers() };
        self.head.forward(&parameters[self.encoded..], seen, head, output);
    }

    /// As [`reverse_replacing`](Self::reverse_replacing), of the head's weights only: the encoder's gradient is left alone.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn reverse_head_replacing<'a>(
        &self,
        parameters: &[f32],
        observations: impl Into<Observations<'a>>,
        workspace: &EncodedWorkspace,
        d_output: &[f32],
        d_parameters: &mut [f32],
    ) {
        let seen = self.seen(observations.into(), workspace);
        let (of_head, d_head) = (&parameters[self.encoded..], &mut d_parameters[self.encoded..]);
        self.head.reverse_replacing(of_head, seen, &workspace.head, d_output, d_head, None);
    }

    /// What the head sees of a batch that has gone [`forward`](Self::forward): the features, or the observations themselves.
    #[must_use]
    pub fn seen<'a>(
        &self,
        observations: impl Into<Observations<'a>>,
        workspace: &'a EncodedWorkspace,
    ) -> &'a [f32] {
        if self.encoder.is_some() { &workspace.features } else { observations.into().numbers() }
    }
}
