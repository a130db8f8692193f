//! The passes of a network inside a larger function, offsets, and threads.
use crate::common::{ROWS, assert_close, cases, dot, normals, value_and_gradient};
use rand_pcg::Pcg64;
use relax_nn::{Activation, MlpShape, Optimizer, Rule, Workspace};

#[test]
fn inside_a_larger_function() {
    let mut rng = Pcg64::new(7, 1);
    for case in &cases() {
        let (width, outputs) = (case.shape.input(), case.shape.output());
        let upstream = normals(&mut rng, ROWS * outputs);
        let mut workspace = Workspace::new();
        let mut output = vec![0.0; upstream.len()];
        case.shape.forward(&case.parameters, &case.input, &mut workspace, &mut output);

        // The gradient by the input alone is reverse's.
        let (mut d, mut expected) = (vec![0.0; case.parameters.len()], vec![0.0; case.input.len()]);
        case.shape.reverse(&case.parameters, &case.input, &workspace, &upstream, &mut d, Some(&mut expected));
        let mut replaced = vec![f64::NAN; d.len()];
        case.shape.reverse_replacing(
            &case.parameters,
            &case.input,
            &workspace,
            &upstream,
            &mut replaced,
            None,
        );
        assert_close("replacing", &replaced, &d, 1e-13);
        let mut gradient = vec![f64::NAN; case.input.len()];
        case.shape.input_gradient(&case.parameters, &mut workspace, &upstream, &mut gradient);
        assert_close("input gradient", &gradient, &expected, 1e-13);

        // Two tangents at once are two tangents, and their curvature is the second derivative of upstream·c.
        let directions = normals(&mut rng, 2 * ROWS * width);
        let mut tangents = vec![f64::NAN; 2 * ROWS * outputs];
        let curved = case.shape.tangent_pair(&case.parameters, &directions, &workspace, &mut tangents);
        for half in 0..2 {
            let mut one = vec![f64::NAN; ROWS * outputs];
            let direction = &directions[half * ROWS * width..(half + 1) * ROWS * width];
            case.shape.tangent(&case.parameters, direction, &workspace, &mut one);
            assert_close("tangent", &tangents[half * one.len()..(half + 1) * one.len()], &one, 1e-13);
        }
        let (first, second) = directions.split_at(ROWS * width);
        let slope = |e: f64| {
            let x: Vec<f64> = case.input.iter().zip(second).map(|(x, d)| x + e * d).collect();
            let mut workspace = Workspace::new();
            let mut output = vec![0.0; upstream.len()];
            let mut gradient = vec![0.0; x.len()];
            case.shape.forward(&case.parameters, &x, &mut workspace, &mut output);
            case.shape.input_gradient(&case.parameters, &mut workspace, &upstream, &mut gradient);
            dot(&gradient, first)
        };
        let by_difference = (slope(1e-6) - slope(-1e-6)) / 2e-6;
        assert!((curved - by_difference).abs() < 1e-6 * (1.0 + curved.abs()), "{curved} {by_difference}");
    }
}

#[test]
fn an_offset_is_a_bias_of_its_own_for_each_row() {
    let mut rng = Pcg64::new(8, 1);
    for case in cases().iter().filter(|case| case.shape.output() == 1 && !case.shape.hidden().is_empty()) {
        let shape = &case.shape;
        let bias = shape.layout()[1].range.clone();
        let offset = normals(&mut rng, ROWS * bias.len());
        let (alpha, beta) = (normals(&mut rng, ROWS), normals(&mut rng, case.input.len()));
        let (mut value, mut gradient) = (vec![0.0; ROWS], vec![0.0; case.input.len()]);
        let mut workspace = Workspace::new();
        shape.value_and_gradient_with_offset(
            &case.parameters,
            &case.input,
            Some(&offset),
            &mut workspace,
            &mut value,
            &mut gradient,
        );
        let (mut d, mut d_offset) = (vec![0.0; case.parameters.len()], vec![f64::NAN; offset.len()]);
        shape.parameter_gradient_with_offset(
            &case.parameters,
            &case.input,
            &workspace,
            &alpha,
            &beta,
            &mut d,
            None,
            Some(&mut d_offset),
        );
        // Row by row against a network whose bias has the row's offset added.
        for row in 0..ROWS {
            let mut shifted = case.parameters.clone();
            let own = &offset[row * bias.len()..(row + 1) * bias.len()];
            shifted[bias.clone()].iter_mut().zip(own).for_each(|(b, o)| *b += o);
            let x = &case.input[row * shape.input()..(row + 1) * shape.input()];
            let (v, g) = value_and_gradient(case, &shifted, x);
            assert_close("value", &v, &value[row..=row], 1e-13);
            assert_close("gradient", &g, &gradient[row * shape.input()..(row + 1) * shape.input()], 1e-13);
            let mut d = vec![0.0; shifted.len()];
            let (mut workspace, mut v, mut g) = (Workspace::new(), [0.0], vec![0.0; x.len()]);
            shape.value_and_gradient(&shifted, x, &mut workspace, &mut v, &mut g);
            let beta = &beta[row * shape.input()..(row + 1) * shape.input()];
            shape.parameter_gradient(&shifted, x, &workspace, &alpha[row..=row], beta, &mut d, None);
            let own = &d_offset[row * bias.len()..(row + 1) * bias.len()];
            assert_close("offset's gradient", &d[bias.clone()], own, 1e-12);
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let shape = MlpShape::new(300, &[200], 250, Activation::Tanh);
    let mut rng = Pcg64::new(9, 1);
    let narrow = |x: Vec<f64>| x.into_iter().map(|x| x as f32).collect::<Vec<f32>>();
    let parameters = narrow(normals(&mut rng, shape.parameter_count()));
    let (input, upstream) = (narrow(normals(&mut rng, 25 * 300)), narrow(normals(&mut rng, 25 * 250)));
    let run = || {
        let mut x = parameters.clone();
        let mut optimizer = Optimizer::new(Rule::ADAM, x.len());
        let mut workspace = Workspace::new();
        let (mut output, mut d_input) = (vec![0f32; upstream.len()], vec![0f32; input.len()]);
        for _ in 0..2 {
            let mut d = vec![0f32; x.len()];
            shape.forward(&x, &input, &mut workspace, &mut output);
            shape.reverse(&x, &input, &workspace, &upstream, &mut d, Some(&mut d_input));
            optimizer.step(&mut x, &d, 0.01, 1.0);
        }
        (x, output, d_input)
    };
    let alone = run();
    for threads in [2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| relax_nn::with_threads(threads, run)), alone, "{threads} threads");
    }
}
