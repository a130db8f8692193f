//! Encoders that are modules of candle's: weights, features and gradients beside the built-in ones and finite differences.

use crate::common::{assert_close, dot, filters, narrow, numbers, seen, weights};
use candle_core::{Device, Module, Tensor};
use candle_nn::{Init, VarBuilder};
use rand_pcg::Pcg64;
use relax_nn::{Cnn, Encoder, EncoderWorkspace, ModuleEncoder};

/// small-cnn of candle's layers; the picture has its channels last.
pub fn candle_small(shape: &[usize], variables: VarBuilder<'static>) -> candle_core::Result<Box<dyn Module>> {
    let (h, w, c) = (shape[0], shape[1], shape[2]);
    let convolution = candle_nn::conv2d(c, 16, 3, Default::default(), variables.pp("convolution0"))?;
    let linear = candle_nn::linear((h - 2) * (w - 2) * 16, 128, variables.pp("linear"))?;
    Ok(Box::new(candle_nn::func(move |x| {
        let x = convolution.forward(&x.permute((0, 3, 1, 2))?.contiguous()?)?.relu()?;
        linear.forward(&x.permute((0, 2, 3, 1))?.contiguous()?.flatten_from(1)?)?.relu()
    })))
}

#[test]
fn a_module_of_candle_nn_gives_the_same_features_and_gradient_as_the_built_in_encoder() {
    let observation = seen(&[12, 10, 4], 0.25);
    let (ours, theirs) =
        (Cnn::small(&observation).unwrap(), ModuleEncoder::new("mine", &observation, candle_small).unwrap());
    assert_eq!(theirs.parameter_count(), ours.parameter_count());
    let names = |encoder: &dyn Encoder| encoder.layout().into_iter().map(|s| s.name).collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    // From our arrays to candle's: the filters to [O, C, K, K], the full layer to [out, in].
    let convert = |ours_flat: &[f32]| {
        let mut flat = vec![0.0; ours_flat.len()];
        for (from, to) in ours.layout().iter().zip(theirs.layout()) {
            let data = &ours_flat[from.range.clone()];
            let tensor = match from.shape.len() {
                4 => filters(data, &from.shape),
                2 => Tensor::from_slice(data, from.shape.as_slice(), &Device::Cpu).unwrap().t().unwrap(),
                _ => Tensor::from_slice(data, from.shape.as_slice(), &Device::Cpu).unwrap(),
            };
            assert_eq!(tensor.dims(), to.shape);
            let data: Vec<f32> = tensor.contiguous().unwrap().flatten_all().unwrap().to_vec1().unwrap();
            flat[to.range].copy_from_slice(&data);
        }
        flat
    };
    let (parameters, rows) = (weights(&ours, 6), 64);
    let observations = numbers(rows * observation.numbers(), 7);
    let upstream = numbers(rows * 128, 8);
    let pass = |encoder: &dyn Encoder, parameters: &[f32]| {
        let (mut workspace, mut features) = (EncoderWorkspace::default(), vec![0.0; rows * 128]);
        let mut gradient = vec![0.0; parameters.len()];
        // Twice, so that the second finds the first's workspace.
        for _ in 0..2 {
            gradient.fill(0.0);
            encoder.forward(parameters, (&observations).into(), &mut workspace, &mut features).unwrap();
            encoder
                .reverse(parameters, (&observations).into(), &mut workspace, &upstream, &mut gradient)
                .unwrap();
        }
        (features, gradient)
    };
    let (features, gradient) = pass(&ours, &parameters);
    let (their_features, their_gradient) = pass(&theirs, &convert(&parameters));
    assert_close("features", &narrow(&their_features), &narrow(&features), 1e-4);
    assert_close("gradient", &narrow(&their_gradient), &narrow(&convert(&gradient)), 1e-3);
}

#[test]
fn fresh_variables_follow_the_hints_and_the_stream() {
    let build = |_: &[usize], variables: VarBuilder<'static>| -> candle_core::Result<Box<dyn Module>> {
        let n = 4000;
        let constant = variables.get_with_hints(n, "a_constant", Init::Const(2.5))?;
        variables.get_with_hints(n, "b_normal", Init::Randn { mean: 1.0, stdev: 3.0 })?;
        variables.get_with_hints(n, "c_uniform", Init::Uniform { lo: -1.0, up: 3.0 })?;
        variables.get_with_hints((n / 4, 4), "d_kaiming", candle_nn::init::DEFAULT_KAIMING_NORMAL)?;
        variables.get_with_hints((n / 4, 4), "e_kaiming", candle_nn::init::DEFAULT_KAIMING_UNIFORM)?;
        Ok(Box::new(candle_nn::func(move |x| x.broadcast_mul(&constant.mean_all()?))))
    };
    let encoder = ModuleEncoder::new("hints", &seen(&[3], 1.0), build).unwrap();
    let fresh = |seed: u128| {
        let mut weights = vec![0.0; encoder.parameter_count()];
        encoder.initialise(&mut weights, &mut Pcg64::new(seed, 1));
        weights
    };
    assert_eq!(fresh(1), fresh(1));
    assert_ne!(fresh(1), fresh(2));
    let weights = narrow(&fresh(1));
    // Mean and deviation; the bounds are five standard errors of 4000 draws.
    for (slice, (mean, deviation)) in encoder.layout().iter().zip([
        (2.5, 0.0),
        (1.0, 3.0),
        (1.0, (16.0f64 / 12.0).sqrt()),
        (0.0, 0.5f64.sqrt()),
        (0.0, 0.5f64.sqrt()),
    ]) {
        let x = &weights[slice.range.clone()];
        let n = x.len() as f64;
        let found = x.iter().sum::<f64>() / n;
        let spread = (x.iter().map(|x| (x - found).powi(2)).sum::<f64>() / n).sqrt();
        assert!((found - mean).abs() <= 5.0 * deviation / n.sqrt(), "{}: mean {found}", slice.name);
        assert!((spread - deviation).abs() <= 5.0 * deviation / (2.0 * n).sqrt(), "{}: {spread}", slice.name);
    }
}

#[test]
fn a_modules_gradient_agrees_with_finite_differences() {
    let same = candle_nn::Conv2dConfig { padding: 1, ..Default::default() };
    let build = move |shape: &[usize], v: VarBuilder<'static>| -> candle_core::Result<Box<dyn Module>> {
        let convolution = candle_nn::conv2d(1, 2, 3, same, v.pp("convolution"))?;
        let linear = candle_nn::linear(2 * shape.iter().product::<usize>(), 3, v.pp("linear"))?;
        Ok(Box::new(candle_nn::func(move |x| {
            let x = convolution.forward(&x.unsqueeze(1)?)?.tanh()?;
            linear.forward(&x.flatten_from(1)?)?.tanh()
        })))
    };
    let encoder = ModuleEncoder::new("padded", &seen(&[6, 5], 1.0), build).unwrap();
    let (parameters, rows) = (weights(&encoder, 1), 5);
    let observations = numbers(rows * 30, 2);
    let upstream = numbers(rows * 3, 3);
    let (mut workspace, mut features) = (EncoderWorkspace::default(), vec![0.0; rows * 3]);
    let mut gradient = vec![0.0; parameters.len()];
    encoder.forward(&parameters, (&observations).into(), &mut workspace, &mut features).unwrap();
    encoder.reverse(&parameters, (&observations).into(), &mut workspace, &upstream, &mut gradient).unwrap();
    let mut value = |parameters: &[f32]| {
        encoder.forward(parameters, (&observations).into(), &mut workspace, &mut features).unwrap();
        dot(&narrow(&features), &narrow(&upstream))
    };
    for (i, &found) in gradient.iter().enumerate() {
        let mut at = |d: f32| {
            let mut moved = parameters.clone();
            moved[i] += d;
            value(&moved)
        };
        let expected = (at(1e-3) - at(-1e-3)) / 2e-3;
        assert!(
            (f64::from(found) - expected).abs() < 2e-3 * (1.0 + expected.abs()),
            "{i}: {found}, {expected}"
        );
    }
}
