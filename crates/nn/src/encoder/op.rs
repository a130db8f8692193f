//! An encoder as a candle operation, for any graph.

use super::{Encoder, EncoderWorkspace};
use crate::NnError;
use crate::ops::{values, with_values};
use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor};
use std::sync::{Arc, Mutex, PoisonError};

/// The features `[B, F]` of `observations` `[B, D]`, differentiable in the weights `parameters` `[parameter_count]`. The
/// observations are constants: no gradient reaches them.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use relax_nn::{Cnn, Encoder, ObservationShape, encode};
/// let cnn = Cnn::small(&ObservationShape { shape: vec![10, 10, 4], scale: 1.0 })?;
/// let mut weights = vec![0.0; cnn.parameter_count()];
/// cnn.initialise(&mut weights, &mut rand_pcg::Pcg64::new(1, 2));
/// let weights = Var::from_vec(weights, cnn.parameter_count(), &Device::Cpu)?;
/// let features = encode(std::sync::Arc::new(cnn), &weights, &Tensor::ones((3, 400), candle_core::DType::F32, &Device::Cpu)?)?;
/// assert_eq!(features.dims(), [3, 128]);
/// assert!(features.sum_all()?.backward()?.get(&weights).is_some());
/// # Ok::<(), relax_nn::NnError>(())
/// ```
///
/// # Errors
/// If the encoder cannot compute it, or a tensor is not f32 or of another shape.
pub fn encode(
    encoder: Arc<dyn Encoder>,
    parameters: &Tensor,
    observations: &Tensor,
) -> std::result::Result<Tensor, NnError> {
    let (numbers, weights) = (encoder.observation().numbers(), encoder.parameter_count());
    if parameters.dims() != [weights] {
        return Err(NnError::ParameterCount { expected: weights, found: parameters.elem_count() });
    }
    let fits = matches!(observations.dims(), [_, found] if *found == numbers);
    if !fits || observations.dtype() != candle_core::DType::F32 {
        return Err(NnError::Input {
            width: numbers,
            dtype: candle_core::DType::F32,
            shape: observations.dims().to_vec(),
            found: observations.dtype(),
        });
    }
    let op = EncodeOp { encoder, workspace: Mutex::default() };
    Ok(parameters.apply_op2(&observations.contiguous()?, op)?)
}

struct EncodeOp {
    encoder: Arc<dyn Encoder>,
    workspace: Mutex<EncoderWorkspace>,
}

impl CustomOp2 for EncodeOp {
    fn name(&self) -> &'static str {
        "encode"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (parameters, observations) = (values::<f32>(s1, l1)?, values::<f32>(s2, l2)?);
        let rows = observations.len() / self.encoder.observation().numbers();
        let mut features = vec![0.0; rows * self.encoder.features()];
        let mut workspace = self.workspace.lock().unwrap_or_else(PoisonError::into_inner);
        self.encoder
            .forward(parameters, observations.into(), &mut workspace, &mut features)
            .map_err(candle_core::Error::wrap)?;
        Ok((CpuStorage::F32(features), (rows, self.encoder.features()).into()))
    }

    fn bwd(
        &self,
        parameters: &Tensor,
        observations: &Tensor,
        _: &Tensor,
        d_features: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut gradient = vec![0.0; parameters.elem_count()];
        with_values::<f32, _>(parameters, |p| {
            with_values::<f32, _>(observations, |x| {
                with_values::<f32, _>(d_features, |d| {
                    let mut workspace = self.workspace.lock().unwrap_or_else(PoisonError::into_inner);
                    self.encoder
                        .reverse(p, x.into(), &mut workspace, d, &mut gradient)
                        .map_err(candle_core::Error::wrap)
                })
            })
        })?;
        let len = gradient.len();
        Ok((Some(Tensor::from_vec(gradient, len, &Device::Cpu)?), None))
    }
}
