//! What turns an observation into features: the perception in front of a network's fused head.
//!
//! An encoder owns no weights. It is a layout of some numbers at the start of a network's one flat vector
//! ([`EncodedShape`](crate::EncodedShape)), and two passes over slices: observations to features, and the gradient of the
//! features to the gradient of those numbers. [`Cnn`] is ours; [`ModuleEncoder`] is any module of candle-nn.

mod cnn;
mod convolution;
mod device;
mod module;
mod observations;
mod op;
mod picture;

pub use cnn::{Cnn, CnnScratch, CnnWorkspace};
pub use device::device;
pub use module::ModuleEncoder;
pub use observations::{FrameLayout, Observations, Stacks};
pub use op::encode;
pub use picture::Picture;

use crate::{AffineLayer, NamedSlice, NnError};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::fmt::Debug;

/// What one observation looks like to an encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservationShape {
    /// Sizes of its dimensions, as the environment gives them.
    pub shape: Vec<usize>,
    /// What its numbers are multiplied by before the encoder sees them: 1/255 for bytes of brightness, else 1.
    pub scale: f32,
}

impl ObservationShape {
    /// Numbers in one observation, D.
    #[must_use]
    pub fn numbers(&self) -> usize {
        self.shape.iter().product()
    }
}

/// From observations `[B, D]` to features `[B, F]`, and back.
///
/// Passes are functions of the weights that they are given: the learner, its shards and every actor share one encoder, each with
/// a workspace of its own. A row's features must not depend on the other rows of its batch.
pub trait Encoder: Debug + Send + Sync {
    /// What a configuration calls it.
    fn name(&self) -> &str;
    /// What it observes.
    fn observation(&self) -> &ObservationShape;
    /// F.
    fn features(&self) -> usize;
    /// Its weights' names and places, in alphabetical order, from 0 to [`parameter_count`](Self::parameter_count).
    fn layout(&self) -> Vec<NamedSlice>;
    /// Number of its weights.
    fn parameter_count(&self) -> usize {
        self.layout().last().map_or(0, |slice| slice.range.end)
    }
    /// Fresh weights.
    fn initialise(&self, parameters: &mut [f32], rng: &mut dyn Rng);
    /// Fits fresh weights to the first observations that there are. Does nothing, by default.
    fn initialise_from(&self, parameters: &mut [f32], batches: &[Observations<'_>]) {
        let _ = (parameters, batches);
    }
    /// features `[B, F]` ← the encoder at observations `[B, D]`. Leaves in `workspace` what [`reverse`](Self::reverse) needs.
    ///
    /// # Errors
    /// If candle cannot compute it.
    fn forward(
        &self,
        parameters: &[f32],
        observations: Observations<'_>,
        workspace: &mut EncoderWorkspace,
        features: &mut [f32],
    ) -> Result<(), NnError>;
    /// Sends `d_features` `[B, F]` back: adds the gradient of the weights to `d_parameters`. Must follow
    /// [`forward`](Self::forward) with the same weights and observations.
    ///
    /// # Errors
    /// If candle cannot compute it.
    fn reverse(
        &self,
        parameters: &[f32],
        observations: Observations<'_>,
        workspace: &mut EncoderWorkspace,
        d_features: &[f32],
        d_parameters: &mut [f32],
    ) -> Result<(), NnError>;
    /// The layers whose steps are [centred](crate::Centring), with their places among the means of
    /// [`input_means`](Self::input_means). None, by default.
    fn affine_layers(&self) -> Vec<AffineLayer> {
        Vec::new()
    }
    /// Appends the means over the batch of what the [`affine_layers`](Self::affine_layers) took, which [`reverse`](Self::reverse) has
    /// left in `workspace`, to `means`.
    fn input_means(&self, workspace: &mut EncoderWorkspace, means: &mut Vec<f32>) {
        let _ = (workspace, means);
    }
}

/// What an encoder's forward pass leaves for its reverse pass: each encoder's own. Reused from batch to batch.
#[derive(Default)]
pub struct EncoderWorkspace(Option<Box<dyn Any + Send + Sync>>);

impl EncoderWorkspace {
    /// The workspace as a `T`; a fresh one if it was empty or another encoder's.
    ///
    /// ```
    /// let mut workspace = relax_nn::EncoderWorkspace::default();
    /// workspace.made::<Vec<f32>>().push(1.0);
    /// assert_eq!(workspace.made::<Vec<f32>>().len(), 1);
    /// assert_eq!(*workspace.made::<u32>(), 0);
    /// ```
    pub fn made<T: Any + Send + Sync + Default>(&mut self) -> &mut T {
        if !self.0.as_ref().is_some_and(|held| held.is::<T>()) {
            self.0 = None;
        }
        let held: &mut Box<dyn Any + Send + Sync> = self.0.get_or_insert_with(|| Box::<T>::default());
        match held.downcast_mut() {
            Some(held) => held,
            None => unreachable!("it was made a T"),
        }
    }
}

impl Debug for EncoderWorkspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("EncoderWorkspace").field(&self.0.is_some()).finish()
    }
}
