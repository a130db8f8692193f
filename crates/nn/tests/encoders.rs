//! Encoders: gradients against finite differences and against candle's own convolutions, layouts, independence of rows.

use crate::common::{assert_close, differences, dot, filters, narrow, normals, numbers, seen, weights};
use crate::modules::candle_small;
use candle_core::{DType, Device, Module, Tensor, Var};
use candle_nn::{Init, VarBuilder};
use rand_pcg::Pcg64;
use relax_nn::{
    Activation, Cnn, CnnWorkspace, EncodedShape, EncodedWorkspace, Encoder, EncoderWorkspace, FrameLayout,
    Mlp, MlpShape, ModuleEncoder, Observations, Stacks, Workspace, encode,
};
use std::sync::Arc;

#[test]
fn a_convolutional_gradient_agrees_with_finite_differences() {
    for (shape, layers) in [
        (vec![11, 9, 3], &[(5, 3, 2), (4, 2, 1)][..]),
        (vec![2, 10, 7], &[(3, 3, 1)][..]),
        (vec![2, 8, 6, 3], &[(4, 2, 2), (3, 2, 1)][..]),
    ] {
        let cnn = Cnn::new("test", &seen(&shape, 0.5), layers, 6).unwrap();
        let mut rng = Pcg64::new(1, 2);
        let mut parameters = vec![0.0; cnn.parameter_count()];
        cnn.he(&mut parameters, &mut rng);
        parameters.iter_mut().zip(normals(&mut rng, 10_000)).for_each(|(p, x)| *p += 0.05 * x);
        let rows = 4;
        let observations = normals(&mut rng, rows * cnn.observation().numbers());
        let upstream = normals(&mut rng, rows * cnn.features());
        let value = |parameters: &[f64]| {
            let mut features = vec![0.0; upstream.len()];
            cnn.forward(parameters, &observations, &mut CnnWorkspace::default(), &mut features);
            dot(&features, &upstream)
        };
        let (mut workspace, mut features) = (CnnWorkspace::default(), vec![0.0; upstream.len()]);
        cnn.forward(&parameters, &observations, &mut workspace, &mut features);
        assert!(
            features.iter().any(|&f| f > 0.0) && features.contains(&0.0),
            "some are cut off, some are not"
        );
        let mut gradient = vec![1.0; parameters.len()];
        cnn.reverse(&parameters, &observations, &mut workspace, &upstream, &mut gradient);
        gradient.iter_mut().for_each(|g| *g -= 1.0);
        assert_close("gradient", &gradient, &differences(&parameters, value), 1e-6);
    }
}

#[test]
fn one_picture_has_the_same_features_however_its_numbers_lie() {
    let (h, w, c) = (12, 10, 3);
    let last = numbers(h * w * c, 1);
    let mut first = vec![0.0; last.len()];
    for (i, &x) in last.iter().enumerate() {
        first[i % c * h * w + i / c] = x;
    }
    let of = |shape: &[usize], observation: &[f32]| {
        let cnn = Cnn::small(&seen(shape, 1.0)).unwrap();
        let mut features = vec![0.0; cnn.features()];
        cnn.forward(&weights(&cnn, 1), observation, &mut CnnWorkspace::default(), &mut features);
        features
    };
    let expected = of(&[h, w, c], &last);
    assert_eq!(of(&[c, h, w], &first), expected, "channels first");
    assert_eq!(of(&[c, h, w, 1], &first), expected, "a stack of grey frames");
    assert_eq!(of(&[1, h, w, c], &last), expected, "a stack of one");
    assert_ne!(of(&[h, w, c], &first), expected, "the check can fail");
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    let module = ModuleEncoder::new("module", &seen(&[12, 10, 4], 1.0), candle_small).unwrap();
    let encoders: [(Box<dyn Encoder>, &[usize]); 4] = [
        (Box::new(Cnn::nature(&seen(&[84, 84, 4], 1.0)).unwrap()), &[1, 2, 3, 5, 8, 13, 33]),
        (Box::new(Cnn::small(&seen(&[10, 10, 4], 1.0)).unwrap()), &[1, 2, 3, 5, 8, 13, 33]),
        (Box::new(Cnn::small(&seen(&[10, 5], 1.0)).unwrap()), &[1, 2, 3, 5, 8, 13, 33]),
        (Box::new(module), &[1, 2, 3, 5, 8, 13, 33]),
    ];
    for (encoder, sizes) in encoders {
        let (parameters, n, f) = (weights(&*encoder, 4), encoder.observation().numbers(), encoder.features());
        let observations = numbers(33 * n, 9);
        let of = |rows: usize| {
            let mut features = vec![0.0; rows * f];
            let workspace = &mut EncoderWorkspace::default();
            encoder
                .forward(&parameters, (&observations[..rows * n]).into(), workspace, &mut features)
                .unwrap();
            features
        };
        let all = of(33);
        for &rows in sizes {
            assert!(of(rows) == all[..rows * f], "{} in a batch of {rows}", encoder.name());
        }
    }
}

#[test]
fn a_row_of_a_wide_layer_has_the_same_bits_alone_and_in_company() {
    for width in [500, 600, 1500, 7056] {
        let shape = MlpShape::new(width, &[64, 64], 4, Activation::Tanh);
        let parameters = shape.orthogonal::<f32>(&mut Pcg64::new(1, 2), 1.4, 1.0);
        let input = numbers(40 * width, 3);
        let of = |rows: usize| {
            let mut output = vec![0.0; rows * 4];
            shape.forward(&parameters, &input[..rows * width], &mut Workspace::new(), &mut output);
            output
        };
        let all = of(40);
        for rows in [1, 2, 3, 8, 17] {
            assert!(of(rows) == all[..rows * 4], "{rows} rows of {width} numbers");
        }
    }
}

#[test]
fn the_nature_encoder_is_candles_convolutions() {
    let cnn = Cnn::nature(&seen(&[84, 84, 2], 0.5)).unwrap();
    let (parameters, layout, rows) = (weights(&cnn, 2), cnn.layout(), 3);
    let observations = numbers(rows * cnn.observation().numbers(), 3);
    let upstream = numbers(rows * 512, 4);
    let variable = |i: usize| {
        let (data, shape) = (&parameters[layout[i].range.clone()], &layout[i].shape);
        let tensor = match shape.len() {
            4 => filters(data, shape),
            _ => Tensor::from_slice(data, shape.as_slice(), &Device::Cpu).unwrap(),
        };
        Var::from_tensor(&tensor).unwrap()
    };
    let variables: Vec<Var> = (0..8).map(variable).collect();
    let x = Tensor::from_slice(&observations, (rows, 84, 84, 2), &Device::Cpu).unwrap();
    let mut x = (x * 0.5).unwrap().permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
    for (i, stride) in [4, 2, 1].into_iter().enumerate() {
        let bias = variables[2 * i].reshape((1, (), 1, 1)).unwrap();
        x = x
            .conv2d(&variables[2 * i + 1], 0, stride, 1, 1)
            .unwrap()
            .broadcast_add(&bias)
            .unwrap()
            .relu()
            .unwrap();
    }
    let x = x.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap().flatten_from(1).unwrap();
    let x = x.matmul(&variables[7]).unwrap().broadcast_add(&variables[6]).unwrap().relu().unwrap();
    let expected: Vec<f32> = x.flatten_all().unwrap().to_vec1().unwrap();
    let seed = Tensor::from_slice(&upstream, (rows, 512), &Device::Cpu).unwrap();
    let theirs = (x * seed).unwrap().sum_all().unwrap().backward().unwrap();

    let (mut workspace, mut features) = (CnnWorkspace::default(), vec![0.0; rows * 512]);
    cnn.forward(&parameters, &observations, &mut workspace, &mut features);
    assert_close("features", &narrow(&features), &narrow(&expected), 1e-4);
    let mut gradient = vec![0.0; parameters.len()];
    cnn.reverse(&parameters, &observations, &mut workspace, &upstream, &mut gradient);
    for (slice, variable) in layout.iter().zip(&variables) {
        let mut expected = theirs.get(variable).unwrap().clone();
        if slice.shape.len() == 4 {
            expected = expected.permute((2, 3, 1, 0)).unwrap().contiguous().unwrap();
        }
        let expected = narrow(&expected.flatten_all().unwrap().to_vec1().unwrap());
        let ours = narrow(&gradient[slice.range.clone()]);
        let scale = expected.iter().fold(0f64, |most, x| most.max(x.abs()));
        let error = ours.iter().zip(&expected).fold(0f64, |most, (a, b)| most.max((a - b).abs()));
        assert!(error < 1e-4 * scale, "{}: {error} of {scale}", slice.name);
    }
}

#[test]
fn a_network_behind_an_encoder_is_the_composed_graph() {
    let cnn: Arc<dyn Encoder> = Arc::new(Cnn::small(&seen(&[8, 8, 2], 1.0)).unwrap());
    let head = MlpShape::new(128, &[16], 3, Activation::Tanh);
    let net = EncodedShape::new(Some(cnn.clone()), head.clone());
    let (rows, mut rng) = (6, Pcg64::new(5, 6));
    let parameters = net.initial(&mut rng, 1.4, 1.0);
    let (observations, upstream) = (numbers(rows * net.input(), 1), numbers(rows * 3, 2));
    let (mut workspace, mut output) = (EncodedWorkspace::default(), vec![0.0; rows * 3]);
    net.forward(&parameters, &observations, &mut workspace, &mut output).unwrap();
    let mut gradient = vec![0.0; parameters.len()];
    net.reverse(&parameters, &observations, &mut workspace, &upstream, &mut gradient).unwrap();

    let encoded = net.head_range().start;
    let of_encoder = Var::from_slice(&parameters[..encoded], encoded, &Device::Cpu).unwrap();
    let mlp = Mlp::<f32>::new(head, parameters[encoded..].to_vec()).unwrap();
    let x = Tensor::from_slice(&observations, (rows, net.input()), &Device::Cpu).unwrap();
    let y = mlp.forward(&encode(cnn, &of_encoder, &x).unwrap()).unwrap();
    assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), output);
    let seed = Tensor::from_slice(&upstream, (rows, 3), &Device::Cpu).unwrap();
    let gradients = (y * seed).unwrap().sum_all().unwrap().backward().unwrap();
    let of = |var: &Var| gradients.get(var).unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(gradient[..encoded], of(&of_encoder));
    assert_eq!(gradient[encoded..], of(mlp.var()));
    assert!(gradient[..encoded].iter().any(|&g| g != 0.0));
}

#[test]
fn what_cannot_be_an_encoder_is_refused_in_words() {
    let refused = |made: Result<(), relax_nn::NnError>| made.unwrap_err().to_string();
    let cnn = |shape: &[usize]| refused(Cnn::nature(&seen(shape, 1.0)).map(|_| ()));
    assert!(cnn(&[7]).contains("are none"), "{}", cnn(&[7]));
    assert!(cnn(&[35, 84, 3]).contains("too small"), "{}", cnn(&[35, 84, 3]));
    assert!(Cnn::nature(&seen(&[36, 36, 1], 1.0)).is_ok());
    type Made = candle_core::Result<Box<dyn Module>>;
    let module = |build: fn(&[usize], VarBuilder<'static>) -> Made| {
        refused(ModuleEncoder::new("mine", &seen(&[4], 1.0), build).map(|_| ()))
    };
    let text = module(|_, v| Ok(Box::new(candle_nn::linear(5, 2, v)?)));
    assert!(text.starts_with("the encoder `mine`: it cannot take observations [2, 4]"), "{text}");
    let text = module(|_, _| Ok(Box::new(candle_nn::func(|x| x.sum_all()))));
    assert!(text.contains("must make f32 features [2, F]"), "{text}");
    let text = module(|_, v| {
        v.get_with_hints(2, "w", Init::default())?;
        v.get_with_hints(3, "w", Init::default())?;
        Ok(Box::new(candle_nn::func(|x| Ok(x.clone()))))
    });
    assert!(text.contains("it cannot be built") && text.contains("`w`"), "{text}");
    let text = module(|_, v| {
        v.get_with_hints_dtype(2, "w", Init::default(), DType::F64)?;
        Ok(Box::new(candle_nn::func(|x| Ok(x.clone()))))
    });
    assert!(text.contains("weights are f32"), "{text}");
}

#[test]
fn bytes_give_the_same_bits_as_the_numbers_that_they_are() {
    let module = ModuleEncoder::new("module", &seen(&[12, 10, 4], 1.0 / 255.0), candle_small).unwrap();
    let encoders: [Box<dyn Encoder>; 6] = [
        Box::new(Cnn::nature(&seen(&[4, 84, 84], 1.0 / 255.0)).unwrap()),
        Box::new(Cnn::nature(&seen(&[84, 84, 4], 1.0 / 255.0)).unwrap()),
        Box::new(Cnn::nature(&seen(&[2, 40, 36, 3], 1.0 / 255.0)).unwrap()),
        Box::new(Cnn::small(&seen(&[10, 10, 1], 1.0)).unwrap()),
        Box::new(Cnn::small(&seen(&[10, 5], 1.0)).unwrap()),
        Box::new(module),
    ];
    for encoder in encoders {
        let (rows, n, f) = (9, encoder.observation().numbers(), encoder.features());
        let parameters = weights(&*encoder, 4);
        let layout = FrameLayout::of(&encoder.observation().shape);
        let numbers: Vec<f32> = (0..rows * n).map(|i| ((i * 7919) % 65_521 % 256) as f32).collect();
        let (mut bytes, mut frames, mut observation) = (Vec::new(), Vec::new(), Vec::new());
        // Every frame is put in twice and used once, so that the frames' numbers matter.
        for (row, numbers) in numbers.chunks_exact(n).enumerate() {
            assert!(layout.split(numbers, &mut observation));
            bytes.extend(observation.repeat(2));
            frames.extend((0..layout.frames).map(|frame| ((2 * row + 1) * layout.frames + frame) as u32));
        }
        let stacks = Stacks { layout, bytes: &bytes, frames: &frames };
        let mut back: Vec<f32> = Vec::new();
        Observations::from(stacks).write(&mut back);
        assert_eq!(back, numbers, "{layout:?}");
        let pass = |observations: Observations<'_>| {
            let (mut workspace, mut features) =
                (EncoderWorkspace::default(), vec![0.0; observations.count(n) * f]);
            let mut gradient = vec![0.0; parameters.len()];
            encoder.forward(&parameters, observations, &mut workspace, &mut features).unwrap();
            let upstream: Vec<f32> = features.iter().map(|f| f - 0.5).collect();
            encoder.reverse(&parameters, observations, &mut workspace, &upstream, &mut gradient).unwrap();
            (features, gradient)
        };
        let found = pass(stacks.into());
        assert!(found == pass((&numbers).into()), "{layout:?}");
        assert!(found.0.iter().any(|&x| x != 0.0) && found.1.iter().any(|&x| x != 0.0));
        let part = Observations::from(stacks).rows(3..8, n);
        assert!(pass(part) == pass((&numbers[3 * n..8 * n]).into()), "{layout:?}");
        for other in [0.5, -1.0, 256.0, -0.0, f32::NAN] {
            let mut numbers = numbers[..n].to_vec();
            numbers[n - 1] = other;
            assert!(!layout.split(&numbers, &mut observation), "{other}");
        }
    }
}

/// What encoders are made of on a device of candle's, here on the processor.
#[test]
fn the_built_in_encoders_of_candles_layers_have_the_same_weights_features_and_gradient() {
    for shape in [vec![84, 84, 1], vec![4, 84, 84], vec![2, 40, 36, 3], vec![2, 3, 40, 36], vec![84, 84, 4]] {
        let ours = Cnn::nature(&seen(&shape, 1.0 / 255.0)).unwrap();
        let theirs = ours.on(&Device::Cpu).unwrap();
        assert_eq!((theirs.name(), theirs.features()), ("nature-cnn", 512));
        assert!(ours.layout() == theirs.layout(), "{shape:?}");
        let parameters = weights(&ours, 3);
        assert!(parameters == weights(&theirs, 3), "the same fresh weights");
        let (rows, n) = (5, ours.observation().numbers());
        let observations: Vec<f32> = (0..rows * n).map(|i| ((i * 7919) % 65_521 % 256) as f32).collect();
        let upstream = numbers(rows * 512, 8);
        let pass = |encoder: &dyn Encoder| {
            let (mut workspace, mut features) = (EncoderWorkspace::default(), vec![0.0; rows * 512]);
            let mut gradient = vec![0.0; parameters.len()];
            let x = Observations::from(&observations);
            encoder.forward(&parameters, x, &mut workspace, &mut features).unwrap();
            encoder.reverse(&parameters, x, &mut workspace, &upstream, &mut gradient).unwrap();
            (features, gradient)
        };
        let ((features, gradient), (their_features, their_gradient)) = (pass(&ours), pass(&theirs));
        assert_close("features", &narrow(&their_features), &narrow(&features), 1e-4);
        let largest = gradient.iter().fold(0f32, |most, x| most.max(x.abs()));
        let error = gradient.iter().zip(&their_gradient).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(error < 1e-3 * largest, "{shape:?}: {error} of {largest}");
    }
}

/// A grey background with one pixel a little brighter that moves: most units of fresh weights are lit by all such pictures or dead to all.
#[test]
fn every_unit_tells_the_first_pictures_apart() {
    let (side, rows) = (12, 64);
    let cnn = Cnn::new("test", &seen(&[side, side, 1], 1.0), &[(8, 3, 1), (8, 3, 2)], 16).unwrap();
    let mut pixels = vec![0.34f64; rows * side * side];
    for (row, picture) in pixels.chunks_exact_mut(side * side).enumerate() {
        picture[(row * 7919) % (side * side)] = 0.4;
    }
    let mut parameters = vec![0.0; cnn.parameter_count()];
    cnn.he(&mut parameters, &mut Pcg64::new(3, 1));
    let features = |parameters: &[f64]| {
        let mut features = vec![0.0; rows * 16];
        cnn.forward(parameters, &pixels, &mut CnnWorkspace::default(), &mut features);
        features
    };
    let told_apart = |parameters: &[f64]| {
        let features = features(parameters);
        let lit = |unit: usize| features.iter().skip(unit).step_by(16).filter(|&&x| x > 0.0).count();
        (0..16).filter(|&unit| (1..rows).contains(&lit(unit))).count()
    };
    let before = told_apart(&parameters);
    let halves = [&pixels[..pixels.len() / 4], &pixels[pixels.len() / 4..]].map(Observations::from);
    cnn.standardise(&mut parameters, &halves);
    assert!(before < 8 && told_apart(&parameters) == 16, "{before} {}", told_apart(&parameters));

    // Biases that cut nothing off show what the last layer gives before max(0, x).
    let layout = cnn.layout();
    let bias = layout.iter().find(|slice| slice.name == "linear.bias").unwrap().range.clone();
    parameters[bias].iter_mut().for_each(|b| *b += 100.0);
    let given = features(&parameters);
    for unit in 0..16 {
        let of_unit = || given.iter().skip(unit).step_by(16).map(|x| x - 100.0);
        let mean = of_unit().sum::<f64>() / rows as f64;
        let variance = of_unit().map(|x| x * x).sum::<f64>() / rows as f64;
        assert!(mean.abs() < 1e-9 && (variance - 1.0).abs() < 1e-9, "{unit}: {mean} {variance}");
    }

    // What all pictures have alike has no scale to be found.
    let mut parameters = vec![0.0f64; cnn.parameter_count()];
    cnn.he(&mut parameters, &mut Pcg64::new(3, 1));
    cnn.standardise(&mut parameters, &[Observations::from(&vec![0.34; 5 * side * side])]);
    assert!(parameters.iter().all(|w| w.abs() < 1e3));
}
