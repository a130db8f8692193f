//! Centred steps: those of inputs less their mean, and what they are for.

use crate::common::{assert_close, normals, numbers, seen};
use rand_pcg::Pcg64;
use relax_nn::{
    Activation, AffineLayer, Centring, Cnn, EncodedShape, EncodedWorkspace, MlpShape, Optimizer, Rule,
};
use std::sync::Arc;

/// The gradient of ½ mean (y − t)² of y = x·W + b, parameters W `[3, 2]`, then b.
fn gradient(parameters: &[f64], x: &[f64], t: &[f64]) -> Vec<f64> {
    let mut gradient = vec![0.0; 8];
    for (x, t) in x.chunks_exact(3).zip(t.chunks_exact(2)) {
        for o in 0..2 {
            let y = (0..3).map(|i| x[i] * parameters[2 * i + o]).sum::<f64>() + parameters[6 + o];
            (0..3).for_each(|i| gradient[2 * i + o] += (y - t[o]) * x[i]);
            gradient[6 + o] += y - t[o];
        }
    }
    gradient
}

#[test]
fn centred_steps_are_those_of_inputs_without_their_mean() {
    let mut rng = Pcg64::new(1, 2);
    let (rows, rates) = (10, (0.05, 0.7));
    let x: Vec<f64> = normals(&mut rng, 3 * rows).iter().map(|x| x + 4.0).collect();
    let t = normals(&mut rng, 2 * rows);
    let means: Vec<f64> = (0..3).map(|i| x.iter().skip(i).step_by(3).sum::<f64>() / rows as f64).collect();
    let without: Vec<f64> = x.iter().zip(means.iter().cycle()).map(|(x, m)| x - m).collect();
    let layer = AffineLayer { weight: 0..6, bias: 6..8, inputs: 0..3 };
    for rule in [Rule::ADAM, Rule::RMS_PROP, Rule::RMS_PROP_TENSOR_FLOW] {
        let start = normals(&mut rng, 8);
        let bias = |parameters: &[f64], o: usize| {
            parameters[6 + o] + (0..3).map(|i| means[i] * parameters[2 * i + o]).sum::<f64>()
        };
        let mut ours = start.clone();
        let mut theirs = start.clone();
        (0..2).for_each(|o| theirs[6 + o] = bias(&start, o));
        let (mut our_rule, mut their_rule) = (Optimizer::new(rule, 8), Optimizer::new(rule, 8));
        let mut centring = Centring::default();
        for _ in 0..30 {
            let g = gradient(&ours, &x, &t);
            centring.step(
                (std::slice::from_ref(&layer), &means),
                &mut our_rule,
                &mut ours,
                &g,
                rates,
                &[(8, 1.0)],
            );
            let g = gradient(&theirs, &without, &t);
            their_rule.step(&mut theirs, &g, rates.0, rates.1);
        }
        assert_close("weights", &ours[..6], &theirs[..6], 1e-9);
        assert_close("biases", &[bias(&ours, 0), bias(&ours, 1)], &theirs[6..], 1e-9);
        assert_ne!(ours, start);
    }
}

#[test]
fn the_means_are_those_of_what_each_layer_takes() {
    let cnn = Cnn::new("test", &seen(&[9, 8, 3], 0.5), &[(5, 3, 2), (4, 2, 1)], 6).unwrap();
    let net = EncodedShape::new(Some(Arc::new(cnn.clone())), MlpShape::new(6, &[], 2, Activation::Tanh));
    let (layers, first) = net.affine_layers().unwrap();
    let rows = 7;
    let pixels = numbers(rows * 9 * 8 * 3, 3);
    let parameters = net.initial(&mut Pcg64::new(4, 5), 1.0, 1.0);
    let (mut workspace, mut output) = (EncodedWorkspace::default(), vec![0.0; 2 * rows]);
    net.forward(&parameters, &pixels[..], &mut workspace, &mut output).unwrap();
    let mut of_features = Vec::new();
    net.feature_means(&workspace, &mut of_features);
    let mut gradient = vec![0.0; parameters.len()];
    net.reverse(&parameters, &pixels[..], &mut workspace, &output, &mut gradient).unwrap();
    let mut means = Vec::new();
    net.encoder_means(&mut workspace, &mut means);
    // Three channels, five, and what the last filters give.
    assert_eq!(layers.len(), 3);
    assert_eq!((means.len(), of_features.len()), (layers[2].inputs.end, first.inputs.end));
    for (channel, found) in means[..3].iter().enumerate() {
        let of_channel = pixels.iter().skip(channel).step_by(3);
        let mean = of_channel.map(|&x| 0.5 * f64::from(x)).sum::<f64>() / (rows * 72) as f64;
        assert!((f64::from(*found) - mean).abs() < 1e-5);
    }
    // The gradient of a layer's biases that is the same in every row tells its inputs' sums: here of the head's.
    let ones = vec![1.0 / rows as f32; 2 * rows];
    gradient.fill(0.0);
    net.reverse(&parameters, &pixels[..], &mut workspace, &ones, &mut gradient).unwrap();
    for (row, mean) in gradient[net.head_range()][first.weight.clone()].chunks_exact(2).zip(&of_features) {
        assert!((row[0] - mean).abs() < 1e-5, "{row:?} {mean}");
    }
    // A filter's layers see every channel's mean at each of its pixels.
    assert_eq!(layers[1].weight.len() % (layers[1].bias.len() * layers[1].inputs.len()), 0);
}

/// Explained variance of a net that was shown `steps` batches of grey pictures with a white square, whose returns lie about
/// −0.5 and tell the square's place.
fn explained(centred: bool, steps: usize) -> f64 {
    let (side, rows) = (12, 64);
    let cnn = Cnn::new("test", &seen(&[side, side, 1], 1.0), &[(16, 3, 1), (16, 3, 2)], 64).unwrap();
    let net = EncodedShape::new(Some(Arc::new(cnn)), MlpShape::new(64, &[], 1, Activation::Tanh));
    let layers = if centred { net.affine_layers().unwrap().0 } else { &[] };
    let of_encoder = 0..net.head_range().start;
    let mut parameters = net.initial(&mut Pcg64::new(1, 5), 1.0, 1.0);
    let mut adam = [of_encoder.len(), net.head_range().len()].map(|len| Optimizer::new(Rule::ADAM, len));
    let (mut centring, mut means) = (Centring::default(), Vec::new());
    let (mut workspace, mut gradient) = (EncodedWorkspace::default(), vec![0.0; parameters.len()]);
    let shares = [(of_encoder.end, 1.0)];
    let mut last = f64::NAN;
    for step in 0..steps {
        let (mut pixels, mut returns) = (vec![0.34f32; rows * side * side], vec![0.0f32; rows]);
        let drawn = numbers(2 * rows, step as u64);
        for row in 0..rows {
            let place = |x: f32| (((x + 1.5) / 3.0 * side as f32) as usize).min(side - 1);
            let (y, x) = (place(drawn[2 * row]), place(drawn[2 * row + 1]));
            pixels[(row * side + y) * side + x] = 0.9;
            returns[row] = -0.5 + 0.2 * (x as f32 / side as f32 - 0.5);
        }
        let mut values = vec![0.0; rows];
        net.forward(&parameters, &pixels[..], &mut workspace, &mut values).unwrap();
        let errors: Vec<f32> = values.iter().zip(&returns).map(|(v, r)| v - r).collect();
        let variance = |x: &[f32]| {
            let mean = x.iter().sum::<f32>() / rows as f32;
            x.iter().map(|x| f64::from((x - mean).powi(2))).sum::<f64>()
        };
        last = 1.0 - variance(&errors) / variance(&returns);
        let d: Vec<f32> = errors.iter().map(|e| e / rows as f32).collect();
        gradient.fill(0.0);
        net.reverse(&parameters, &pixels[..], &mut workspace, &d, &mut gradient).unwrap();
        means.clear();
        net.encoder_means(&mut workspace, &mut means);
        let (encoder, head) = parameters.split_at_mut(of_encoder.end);
        let (of_encoder, of_head) = gradient.split_at(of_encoder.end);
        centring.step((layers, &means), &mut adam[0], encoder, of_encoder, (3e-3, 1.0), &shares);
        adam[1].step(head, of_head, 3e-3, 1.0);
    }
    last
}

#[test]
fn a_grey_background_does_not_drown_what_moves_before_it() {
    let (centred, plain) = (explained(true, 60), explained(false, 60));
    println!("explained variance: {centred:.3} centred, {plain:.3} as they are");
    assert!(centred > 0.3 && plain < 0.1, "{centred} {plain}");
}
