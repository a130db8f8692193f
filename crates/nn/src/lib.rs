//! Flat-parameter networks with fused kernels, offered as candle custom operations, and their optimisers.
//!
//! A network is one flat parameter vector and a layout ([`MlpShape`]). Its passes are plain functions over slices
//! ([`kernels`]); [`Mlp`] offers them as candle operations with gradients. [`Optimizer`] steps over the flat vector.
//! Everything that must survive a checkpoint is handed over as a [`StateDict`].

pub mod activation;
mod centring;
mod composite;
mod encoded;
pub mod encoder;
mod init;
mod input;
mod instruction_set;
pub mod kernels;
mod mixed;
mod mlp;
mod ops;
pub mod optim;
pub mod product;
mod real;
mod shape;
mod solve;
pub mod state;
mod team;
mod thin;

pub use activation::Activation;
pub use centring::{AffineLayer, Centring};
pub use encoded::{EncodedShape, EncodedWorkspace};
pub use encoder::{
    Cnn, CnnWorkspace, Encoder, EncoderWorkspace, FrameLayout, ModuleEncoder, ObservationShape, Observations,
    Picture, Stacks, device, encode,
};
pub use input::{Input, Rows};
pub use instruction_set::instruction_set;
pub use kernels::Workspace;
pub use mlp::Mlp;
pub use optim::{Optimizer, OptimizerStep, Rule, clip_scale, global_norm};
pub use real::Real;
pub use shape::{MlpShape, NamedSlice};
pub use solve::{eigen_symmetric, solve_positive};
pub use state::{StateDict, StateError, StateTensor};
pub use team::with_threads;
/// The versions of candle that this crate's types belong to.
pub use {candle_core, candle_nn};

/// Why a network operation could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// The parameter vector's length is not the shape's.
    #[error("this network has {expected} parameters, but {found} were given")]
    ParameterCount {
        /// The shape's number.
        expected: usize,
        /// The number given.
        found: usize,
    },
    /// An input tensor of another shape or type.
    #[error(
        "the network takes {dtype:?} tensors of shape [B, {width}], but was given {found:?} of shape {shape:?}"
    )]
    Input {
        /// The network's input width.
        width: usize,
        /// The network's scalar type.
        dtype: candle_core::DType,
        /// The shape given.
        shape: Vec<usize>,
        /// The scalar type given.
        found: candle_core::DType,
    },
    /// An operation for networks with one output, on another.
    #[error("this operation needs a network with one output, but this one has {outputs}")]
    NotScalar {
        /// The network's outputs.
        outputs: usize,
    },
    /// An encoder that cannot be made for its observations, or has failed.
    #[error("the encoder `{encoder}`: {why}")]
    Encoder {
        /// Its name.
        encoder: String,
        /// What is wrong.
        why: String,
    },
    /// An error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
