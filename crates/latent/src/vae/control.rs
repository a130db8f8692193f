//! The parameters φ of the control variates, one set a layer, in one flat vector.

use crate::vae::architecture::Architecture;
use crate::vae::baseline;
use crate::vae::free_form::FreeFormShape;
use crate::vae::number::Number;
use crate::vae::settings::Settings;
use rand::Rng;
use relax_estimators::{AdaptiveGain, Estimator};
use relax_nn::MlpShape;
use std::ops::Range;

/// How fast the statistics of the surrogate's gain forget.
const GAIN_DECAY: f64 = 0.99;

/// Where the parameters of one layer's control variate lie.
#[derive(Debug, Clone)]
pub(crate) struct LayerControl {
    /// η, then log λ.
    pub relaxation: Option<Range<usize>>,
    /// r_φ.
    pub free_form: Option<(FreeFormShape, Range<usize>)>,
    /// The surrogate's c.
    pub surrogate: Option<(FreeFormShape, Range<usize>)>,
    /// NVIL's baseline.
    pub baseline: Option<(MlpShape, Range<usize>)>,
}

/// φ and its layout.
#[derive(Debug, Clone)]
pub(crate) struct Control<F> {
    pub layers: Vec<LayerControl>,
    pub parameters: Vec<F>,
    /// The surrogate's gain of each layer.
    pub gains: Vec<AdaptiveGain>,
}

impl<F: Number> Control<F> {
    /// Initial parameters: η = 1, λ as configured, r = 0, baselines 0.
    pub fn new(architecture: &Architecture, settings: &Settings, rng: &mut impl Rng) -> Self {
        let method = settings.method;
        let mut parameters: Vec<F> = Vec::new();
        let mut append = |values: Vec<F>| {
            let start = parameters.len();
            parameters.extend(values);
            start..parameters.len()
        };
        // Width of the context: the pixels and the signs of all lower layers.
        let mut context = architecture.pixels;
        let mut layers = Vec::new();
        for &latent in &architecture.latent {
            let relaxation =
                method.relaxes_f().then(|| append(vec![F::of(1.0), F::of(settings.temperature.ln())]));
            let free_form = method.learns_control_variate().then(|| {
                let shape = FreeFormShape::new(latent, context, &settings.control_variate_hidden);
                let at = append(shape.initial(rng));
                (shape, at)
            });
            let surrogate = method.needs().surrogate.then(|| {
                let shape = FreeFormShape::new(latent, context, &settings.control_variate_hidden);
                let at = append(shape.initial(rng));
                (shape, at)
            });
            let baseline = matches!(method, Estimator::Nvil | Estimator::MuProp).then(|| {
                let shape = baseline::shape(context);
                let at = append(baseline::initial(&shape, rng));
                (shape, at)
            });
            layers.push(LayerControl { relaxation, free_form, surrogate, baseline });
            context += latent;
        }
        let gain = AdaptiveGain::new(GAIN_DECAY).unwrap_or_else(|error| unreachable!("{error}"));
        Self { gains: vec![gain; layers.len()], layers, parameters }
    }

    /// (η, λ) of `layer`, if its control variate has them.
    pub fn gain_and_temperature(&self, layer: usize) -> Option<(F, f64)> {
        let at = self.layers[layer].relaxation.clone()?;
        Some((self.parameters[at.start], self.parameters[at.start + 1].wide().exp()))
    }
}
