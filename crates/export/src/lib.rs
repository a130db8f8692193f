//! A trained policy as a file that others can run, without this project.
//!
//! A policy becomes a [`Plan`]: a list of simple [`Step`]s from an observation to an action, with everything inside that the program
//! does between the two (normalisation, encoder, network, masks, scaling and bounds of actions), and the arrays that they need. The
//! three formats are three ways to write that list down:
//!
//! | format | file | holds | read by |
//! | --- | --- | --- | --- |
//! | [`Format::Onnx`] | `.onnx` | the list as a graph | `onnxruntime` and whatever else reads ONNX |
//! | [`Format::Json`] | `.json` | the list and the arrays | anything; docs/deployment.md has a reader of thirty lines |
//! | [`Format::Safetensors`] | `.safetensors` | the arrays; the list in the metadata | what takes weights |
//!
//! ```no_run
//! use relax_export::{Checkpoint, Format, export};
//! export("runs/mine".as_ref(), Checkpoint::Best, Format::Onnx, "policy.onnx".as_ref())?;
//! # Ok::<(), relax_runtime::Error>(())
//! ```

mod encoder;
mod onnx;
mod plan;

use std::path::{Path, PathBuf};

use relax_runtime::{Error, files};
use relax_training::train::{best_checkpoint, latest_checkpoint};

pub use plan::{About, Action, Plan, Step, Tensor};

/// What an exported file is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A graph, opset [`onnx::OPSET`](OPSET).
    Onnx,
    /// The arrays, with the list of steps in the metadata.
    Safetensors,
    /// Everything as text.
    Json,
}

/// The version of ONNX's operators that the graph is made of.
pub const OPSET: i64 = onnx::OPSET;

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Onnx, Self::Safetensors, Self::Json];

    /// Its name, which is also the extension of its files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Onnx => "onnx",
            Self::Safetensors => "safetensors",
            Self::Json => "json",
        }
    }

    /// The format of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// Which policy of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpoint {
    /// The best by evaluation; the newest if none was kept.
    Best,
    /// The newest.
    Latest,
}

impl Checkpoint {
    /// Its file in the run folder `dir`.
    #[must_use]
    pub fn path(self, dir: &Path) -> PathBuf {
        let best = best_checkpoint(dir);
        if self == Self::Best && best.exists() { best } else { latest_checkpoint(dir) }
    }
}

/// Writes a policy of the run folder `dir` to the file `path`, and returns what was written.
///
/// # Errors
/// If there is no usable checkpoint, the policy is of a kind that no file could describe (an encoder or a distribution of one's own, weights
/// that are not finite), or the file cannot be written.
pub fn export(dir: &Path, checkpoint: Checkpoint, format: Format, path: &Path) -> Result<Plan, Error> {
    let plan = Plan::load(&checkpoint.path(dir))?;
    let bytes = plan.write(format)?;
    files::write_atomically(path, &bytes).map_err(|source| Error::io("write", path, source))?;
    Ok(plan)
}

impl Plan {
    /// The bytes of a file.
    ///
    /// # Errors
    /// If the library that writes the format refuses.
    pub fn write(&self, format: Format) -> Result<Vec<u8>, Error> {
        let failed =
            |error: &dyn std::fmt::Display| Error::runtime(format!("the policy cannot be written: {error}"));
        match format {
            Format::Onnx => Ok(onnx::write(self)),
            Format::Json => {
                let mut text = serde_json::to_vec(self).map_err(|error| failed(&error))?;
                text.push(b'\n');
                Ok(text)
            }
            Format::Safetensors => {
                // The arrays are beside it.
                let described = Self { tensors: Default::default(), ..self.clone() };
                let text = serde_json::to_string(&described).map_err(|error| failed(&error))?;
                let bytes: Vec<(&str, &Tensor, Vec<u8>)> = self
                    .tensors
                    .iter()
                    .map(|(name, tensor)| (name.as_str(), tensor, tensor.bytes()))
                    .collect();
                let views = bytes.iter().map(|(name, tensor, bytes)| {
                    let view = safetensors::tensor::TensorView::new(
                        safetensors::Dtype::F32,
                        tensor.shape.clone(),
                        bytes,
                    );
                    view.map(|view| (*name, view))
                });
                let views: Vec<_> = views.collect::<Result<_, _>>().map_err(|error| failed(&error))?;
                let metadata = [("policy".to_owned(), text)].into_iter().collect();
                safetensors::serialize(views, Some(metadata)).map_err(|error| failed(&error))
            }
        }
    }
}
