//! What all of an agent's networks have in common: how they start, are saved and come back.

use crate::AgentError;
use crate::config::{ActivationKind, OptimizerKind};
use crate::distribution::Distribution;
use relax_envs::EnvRng;
use relax_nn::{Activation, Mlp, MlpShape, Optimizer, Rule, StateDict};

/// What a configuration says of a network.
#[derive(Debug, Clone, Copy)]
pub struct Network<'a> {
    /// Widths of the hidden layers, each 1 or more.
    pub hidden: &'a [usize],
    /// Activation of the hidden layers.
    pub activation: ActivationKind,
}

/// The shape of a network from `input` to `output` numbers.
///
/// # Errors
/// If a layer has no width.
pub fn shape(input: usize, network: &Network<'_>, output: usize) -> Result<MlpShape, AgentError> {
    if input == 0 || output == 0 || network.hidden.contains(&0) {
        return Err(AgentError::Config(format!(
            "a network from {input} numbers through hidden layers of widths {:?} to {output}: every width must be 1 or more",
            network.hidden
        )));
    }
    Ok(MlpShape::new(input, network.hidden, output, activation(network.activation)))
}

/// The shape of the network that gives a distribution its parameters, with the distribution's tail.
///
/// # Errors
/// If a layer has no width.
pub fn policy_shape(
    input: usize,
    network: &Network<'_>,
    distribution: &dyn Distribution,
) -> Result<MlpShape, AgentError> {
    let shape = shape(input, network, distribution.outputs())?;
    Ok(match distribution.tail() {
        0 => shape,
        len => shape.with_tail("log_std", len),
    })
}

/// The network library's name of an activation.
#[must_use]
pub fn activation(kind: ActivationKind) -> Activation {
    match kind {
        ActivationKind::Tanh => Activation::Tanh,
        ActivationKind::Relu => Activation::Relu,
        ActivationKind::Elu => Activation::Elu,
    }
}

/// The configuration's name of an activation.
#[must_use]
pub fn activation_kind(activation: Activation) -> ActivationKind {
    match activation {
        Activation::Tanh => ActivationKind::Tanh,
        Activation::Relu => ActivationKind::Relu,
        Activation::Elu => ActivationKind::Elu,
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

/// Gain of the hidden layers' fresh weights.
pub const HIDDEN_GAIN: f64 = std::f64::consts::SQRT_2;

/// A fresh network: orthogonal weights with gain √2, `output_gain` in the last layer.
///
/// # Errors
/// If candle cannot make the variable.
pub fn network(shape: MlpShape, output_gain: f64, rng: &mut EnvRng) -> Result<Mlp<f32>, AgentError> {
    let parameters = shape.orthogonal(rng, HIDDEN_GAIN, output_gain);
    Ok(Mlp::new(shape, parameters)?)
}

/// `parameters` and the optimiser's state under `optimizer`.
#[must_use]
pub fn state(net: &Mlp<f32>, optimizer: &Optimizer<f32>) -> StateDict {
    net.read(|parameters| state_of(parameters, optimizer))
}

/// As [`state`], of a flat parameter vector.
#[must_use]
pub fn state_of(parameters: &[f32], optimizer: &Optimizer<f32>) -> StateDict {
    let mut state = StateDict::new();
    state.insert_f32("parameters", parameters);
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
    net.write(|parameters| restore_into(parameters, optimizer, state))
}

/// As [`restore`], of a flat parameter vector.
///
/// # Errors
/// If an array is missing or does not fit; the vector is then unchanged.
pub fn restore_into(
    parameters: &mut [f32],
    optimizer: &mut Optimizer<f32>,
    state: &StateDict,
) -> Result<(), AgentError> {
    let saved = state.f32("parameters", parameters.len())?;
    optimizer.restore(&state.subset("optimizer"))?;
    parameters.copy_from_slice(saved);
    Ok(())
}
