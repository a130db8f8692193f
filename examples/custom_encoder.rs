//! A network of one's own in front of an agent's hidden layers, of any layers of candle-nn; candle does its gradient.
//!
//!   cargo run --release --example custom_encoder -- train my.toml                       # [agent] kind = "a2c", encoder = "tiny"
//!   cargo run --release --example custom_encoder -- resume runs/my-s0-1
//!   cargo run --release --example custom_encoder -- export runs/my-s0-1 tiny.safetensors
//!
//! `export` writes the best policy's weights by name, the encoder's under `encoder.`, for candle, PyTorch or anything that reads
//! safetensors; a `VarBuilder` on that file and `build` make the trained module again.

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;

use relax_rl::agents::register_encoder;
use relax_rl::evaluate::Trained;
use relax_rl::nn::candle_core::{Device, Module, Result, Tensor, safetensors};
use relax_rl::nn::candle_nn::{Conv2dConfig, VarBuilder, conv2d_no_bias, func, linear};

/// A convolution and a full layer over a board `[rows, columns]`: from observations `[B, rows, columns]` to features `[B, 64]`.
pub fn build(board: &[usize], variables: VarBuilder<'static>) -> Result<Box<dyn Module>> {
    let same = Conv2dConfig { padding: 1, ..Default::default() };
    // Fresh biases would light up the whole empty board, and ball and paddle hardly show.
    let convolution = conv2d_no_bias(1, 8, 3, same, variables.pp("convolution"))?;
    let features = linear(8 * board.iter().product::<usize>(), 64, variables.pp("linear"))?;
    Ok(Box::new(func(move |x| {
        let x = convolution.forward(&x.unsqueeze(1)?)?.relu()?;
        features.forward(&x.flatten_from(1)?)?.relu()
    })))
}

/// Writes the best policy of the run folder `run` to `file`.
pub fn export(run: &Path, file: &Path) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let policy = Trained::load(run)?.policy;
    let mut tensors = HashMap::new();
    for slice in policy.layout() {
        let weights = &policy.parameters()[slice.range];
        tensors.insert(slice.name, Tensor::from_slice(weights, slice.shape, &Device::Cpu)?);
    }
    Ok(safetensors::save(&tensors, file)?)
}

fn main() -> ExitCode {
    register_encoder("tiny", build).expect("the name is free");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, run, file] = arguments.as_slice() else { return relax_rl::cli::main() };
    if command != "export" {
        return relax_rl::cli::main();
    }
    match export(Path::new(run), Path::new(file)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
