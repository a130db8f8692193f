//! An encoder to certify agents with: a module of candle-nn that [`Net`](super::Net) can compute in double precision.

use super::Task;
use relax_nn::candle_core::Module;
use relax_nn::candle_nn::{func, linear};
use std::sync::Once;

/// Its name in `agent.encoder`.
pub(super) const ENCODER: &str = "certify";

/// Numbers that it makes of an observation.
pub(super) const FEATURES: usize = 4;

/// Makes it known. It is one full layer with tanh: as a network behind it sees the task, one hidden layer more.
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An encoder of a user's that has taken the name is certified in its place, and found out.
        let _ = crate::register_encoder(ENCODER, |shape, variables| {
            let layer = linear(shape.iter().product(), FEATURES, variables)?;
            Ok(Box::new(func(move |x| layer.forward(x)?.tanh())))
        });
    });
}

/// The parameters of a policy behind the encoder in the order of a [`Net`](super::Net)'s: the encoder's bias and weight
/// `[FEATURES, DIM]` become weight `[DIM, FEATURES]` and bias.
pub(super) fn by_layer(parameters: &[f64]) -> Vec<f64> {
    let (bias, rest) = parameters.split_at(FEATURES);
    let (weight, head) = rest.split_at(FEATURES * Task::DIM);
    let transposed = (0..Task::DIM).flat_map(|i| (0..FEATURES).map(move |j| weight[j * Task::DIM + i]));
    transposed.chain(bias.iter().copied()).chain(head.iter().copied()).collect()
}
