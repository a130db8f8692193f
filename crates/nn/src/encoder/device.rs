//! Where an encoder computes: on the processor, or on a device of candle's.

use super::{Cnn, Encoder, ModuleEncoder, Picture};
use crate::NnError;
use candle_core::{Device, Module, Tensor};
use candle_nn::{Init, VarBuilder};

/// The device called `name`: "cpu", "cuda" or "metal", the latter two with a number behind a colon where there are several.
///
/// ```
/// assert!(relax_nn::device("cpu")?.is_cpu());
/// assert!(relax_nn::device("gpu").is_err());
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// In a sentence, what is missing: the name, the build's feature, the device.
pub fn device(name: &str) -> Result<Device, String> {
    let (kind, ordinal) = name.split_once(':').unwrap_or((name, "0"));
    let number = ordinal.parse::<usize>().ok().filter(|_| !ordinal.starts_with('+'));
    let (there_is, toolkit): (bool, &str) = match (kind, number) {
        ("cpu", Some(0)) if name == "cpu" => return Ok(Device::Cpu),
        ("cuda", Some(_)) => {
            (candle_core::utils::cuda_is_available(), "NVIDIA's CUDA toolkit with its compiler nvcc")
        }
        ("metal", Some(_)) => (candle_core::utils::metal_is_available(), "Apple's macOS"),
        _ => {
            return Err(format!(
                "there is no device `{name}`; there are `cpu`, `cuda` and `metal`, and of several `cuda:1` and so on"
            ));
        }
    };
    if !there_is {
        return Err(format!(
            "this build computes on the CPU only: `{kind}` needs a build with `--features {kind}`, and that needs {toolkit}"
        ));
    }
    let number = number.unwrap_or(0);
    let made = if kind == "cuda" { Device::new_cuda(number) } else { Device::new_metal(number) };
    made.map_err(|error| {
        let error = error.to_string();
        let said = error.lines().next().unwrap_or_default(); // what follows is a backtrace, where one is asked for
        format!("there is no {kind} device number {number} to be used here: {said}")
    })
}

impl Cnn {
    /// The same network of candle's own layers, for a device that has none of ours: the same weights in the same places, the same
    /// features but for rounding.
    ///
    /// # Errors
    /// If candle cannot make it there.
    pub fn on(&self, device: &Device) -> Result<ModuleEncoder, NnError> {
        let (layers, picture, features) = (self.layers(), self.picture().clone(), self.features());
        let build = move |shape: &[usize], variables: VarBuilder<'static>| {
            let hints = |fan_in: usize| Init::Randn { mean: 0.0, stdev: (2.0 / fan_in as f64).sqrt() };
            let (mut channels, mut size) = (picture.channels, [picture.height, picture.width]);
            let mut convolutions = Vec::with_capacity(layers.len());
            for (i, &(filters, kernel, stride)) in layers.iter().enumerate() {
                let variables = variables.pp(format!("convolution{i}"));
                let bias = variables.get_with_hints(filters, "bias", Init::Const(0.0))?;
                let shape = (kernel, kernel, channels, filters);
                let weight = variables.get_with_hints(shape, "weight", hints(kernel * kernel * channels))?;
                let weight = weight.permute((3, 2, 0, 1))?.contiguous()?;
                let given = size.map(|size| (size - kernel) / stride + 1);
                let used = given.map(|given| (given - 1) * stride + kernel);
                convolutions.push((weight, bias.reshape((1, filters, 1, 1))?, stride, used));
                (channels, size) = (filters, given);
            }
            let width = channels * size[0] * size[1];
            let variables = variables.pp("linear");
            let bias = variables.get_with_hints(features, "bias", Init::Const(0.0))?;
            let weight = variables.get_with_hints((width, features), "weight", hints(width))?;
            let (picture, dimensions) = (picture.clone(), shape.len());
            let network = move |x: &Tensor| {
                let mut x = channels_first(x, &picture, dimensions)?;
                for (weight, bias, stride, [height, width]) in &convolutions {
                    // Without the pixels that no filter reaches: candle 0.11's gradient looks at the height alone for them.
                    x = x.narrow(2, 0, *height)?.narrow(3, 0, *width)?.contiguous()?;
                    x = x.conv2d(weight, 0, *stride, 1, 1)?.broadcast_add(bias)?.relu()?;
                }
                let x = x.permute((0, 2, 3, 1))?.contiguous()?.flatten_from(1)?;
                x.matmul(&weight)?.broadcast_add(&bias)?.relu()
            };
            Ok(Box::new(candle_nn::func(network)) as Box<dyn Module>)
        };
        ModuleEncoder::on(self.name(), self.observation(), device, std::sync::Arc::new(build))
    }
}

/// Observations `[B, …]` as `[B, C, H, W]`, the channels of the oldest frame first.
fn channels_first(x: &Tensor, picture: &Picture, dimensions: usize) -> candle_core::Result<Tensor> {
    let x = match (dimensions, picture.is_channels_first()) {
        (2, _) => x.unsqueeze(1)?,
        (3, false) => x.permute((0, 3, 1, 2))?,
        (4, false) => x.permute((0, 1, 4, 2, 3))?,
        _ => x.clone(),
    };
    x.contiguous()?.reshape(((), picture.channels, picture.height, picture.width))
}
