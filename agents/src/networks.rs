//! What all of an agent's networks have in common: how they start, are saved and come back.

use crate::AgentError;
use crate::config::{ActivationKind, OptimizerKind};
use relax_envs::EnvRng;
use relax_nn::{Activation, Mlp, MlpShape, Optimizer, Rule, StateDict, StateTensor};

/// The network library's name of an activation.
#[must_use]
pub fn activation(kind: ActivationKind) -> Activation {
    match kind {
        ActivationKind::Tanh => Activation::Tanh,
        ActivationKind::Relu => Activation::Relu,
        ActivationKind::Elu => Activation::Elu,
    }
}

/// The network library's name of an optimiser.
#[must_use]
pub fn rule(kind: OptimizerKind) -> Rule {
    match kind {
        OptimizerKind::Adam => Rule::ADAM,
        OptimizerKind::Rmsprop => Rule::RMS_PROP,
        OptimizerKind::RmspropTf => Rule::RMS_PROP_TENSOR_FLOW,
    }
}

/// A fresh network: orthogonal weights with gain √2, `output_gain` in the last layer.
///
/// # Errors
/// If candle cannot make the variable.
pub fn network(shape: MlpShape, output_gain: f64, rng: &mut EnvRng) -> Result<Mlp<f32>, AgentError> {
    let parameters = shape.orthogonal(rng, std::f64::consts::SQRT_2, output_gain);
    Ok(Mlp::new(shape, parameters)?)
}

/// `parameters` and the optimiser's state under `optimizer`.
#[must_use]
pub fn state(net: &Mlp<f32>, optimizer: &Optimizer<f32>) -> StateDict {
    let mut state = StateDict::new();
    let data = net.read(<[f32]>::to_vec);
    state.insert("parameters", StateTensor::F32 { shape: vec![data.len()], data });
    state.insert_all("optimizer", optimizer.state());
    state
}

/// Takes over what [`state`] gave.
///
/// # Errors
/// If an array is missing or does not fit; the network is then unchanged.
pub fn restore(
    net: &mut Mlp<f32>,
    optimizer: &mut Optimizer<f32>,
    state: &StateDict,
) -> Result<(), AgentError> {
    let parameters = state.f32("parameters", net.shape().parameter_count())?;
    optimizer.restore(&state.subset("optimizer"))?;
    net.write(|x| x.copy_from_slice(parameters));
    Ok(())
}
