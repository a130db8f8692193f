//! Every pass of the network, in f64, against finite differences and against the same net composed of candle's own
//! operations; and in f32 against f64.
use crate::common::{
    Case, ROWS, assert_close, cases, differences, dot, forward, normals, value_and_gradient,
};
use candle_core::{DType, Device, Tensor, Var};
use rand::RngExt;
use rand_pcg::Pcg64;
use relax_nn::{Activation, Mlp, MlpShape, Workspace};

/// The same network from candle's operations.
fn composed(case: &Case, parameters: &Tensor, input: &Tensor) -> Tensor {
    let mut x = input.clone();
    let layout = case.shape.layout();
    for (i, pair) in layout.chunks(2).enumerate() {
        let take = |s: &relax_nn::NamedSlice| parameters.narrow(0, s.range.start, s.range.len()).unwrap();
        let weight = take(&pair[0]).reshape(pair[0].shape.as_slice()).unwrap();
        x = x.matmul(&weight).unwrap().broadcast_add(&take(&pair[1])).unwrap();
        if 2 * (i + 1) < layout.len() {
            x = match case.shape.activation() {
                Activation::Tanh => x.tanh(),
                Activation::Relu => x.relu(),
                Activation::Elu => x.elu(1.0),
            }
            .unwrap();
        }
    }
    x
}

fn tensor(values: &[f64], columns: usize) -> Tensor {
    Tensor::from_slice(values, (values.len() / columns, columns), &Device::Cpu).unwrap()
}

fn vec_of(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn forward_and_reverse_equal_composed_candle() {
    let mut rng = Pcg64::new(1, 1);
    for case in cases() {
        let upstream = normals(&mut rng, ROWS * case.shape.output());
        let parameters = Var::from_slice(&case.parameters, case.parameters.len(), &Device::Cpu).unwrap();
        let input = Var::from_tensor(&tensor(&case.input, case.shape.input())).unwrap();
        let oracle = composed(&case, &parameters, &input);
        let weighted = (&oracle * tensor(&upstream, case.shape.output())).unwrap().sum_all().unwrap();
        let gradients = weighted.backward().unwrap();

        let mut workspace = Workspace::new();
        let mut output = vec![0.0; upstream.len()];
        case.shape.forward(&case.parameters, &case.input, &mut workspace, &mut output);
        let mut d_parameters = vec![1.0; case.parameters.len()];
        let mut d_input = vec![f64::NAN; case.input.len()];
        case.shape.reverse(
            &case.parameters,
            &case.input,
            &workspace,
            &upstream,
            &mut d_parameters,
            Some(&mut d_input),
        );
        assert_close("value", &output, &vec_of(&oracle), 1e-12);
        d_parameters.iter_mut().for_each(|d| *d -= 1.0); // it adds to what is there
        assert_close("d_parameters", &d_parameters, &vec_of(gradients.get(&parameters).unwrap()), 1e-11);
        assert_close("d_input", &d_input, &vec_of(gradients.get(&input).unwrap()), 1e-11);

        // The same through the candle operation.
        let net = Mlp::new(case.shape.clone(), case.parameters.clone()).unwrap();
        let y = net.forward(&input).unwrap();
        let loss = (&y * tensor(&upstream, case.shape.output())).unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        assert_eq!(vec_of(&y), output);
        assert_close("op d_parameters", &vec_of(gradients.get(net.var()).unwrap()), &d_parameters, 1e-13);
        assert_close("op d_input", &vec_of(gradients.get(&input).unwrap()), &d_input, 1e-13);
    }
}

#[test]
fn reverse_agrees_with_finite_differences() {
    let mut rng = Pcg64::new(2, 1);
    for case in cases().iter().filter(|case| case.shape.activation() != Activation::Relu) {
        let upstream = normals(&mut rng, ROWS * case.shape.output());
        let mut workspace = Workspace::new();
        let mut output = vec![0.0; upstream.len()];
        case.shape.forward(&case.parameters, &case.input, &mut workspace, &mut output);
        let mut d = vec![0.0; case.parameters.len()];
        case.shape.reverse(&case.parameters, &case.input, &workspace, &upstream, &mut d, None);
        let by_difference = differences(&case.parameters, |p| dot(&forward(case, p, &case.input), &upstream));
        assert_close("d_parameters", &d, &by_difference, 1e-7);
    }
}

#[test]
fn tangent_agrees_with_finite_differences_and_the_adjoint() {
    let mut rng = Pcg64::new(3, 1);
    for case in cases() {
        let direction = normals(&mut rng, case.input.len());
        let upstream = normals(&mut rng, ROWS * case.shape.output());
        let mut workspace = Workspace::new();
        let mut output = vec![0.0; upstream.len()];
        case.shape.forward(&case.parameters, &case.input, &mut workspace, &mut output);
        let mut d_input = vec![0.0; case.input.len()];
        let mut ignored = vec![0.0; case.parameters.len()];
        case.shape.reverse(
            &case.parameters,
            &case.input,
            &workspace,
            &upstream,
            &mut ignored,
            Some(&mut d_input),
        );
        let mut tangent = vec![0.0; output.len()];
        case.shape.tangent(&case.parameters, &direction, &workspace, &mut tangent);
        // ⟨upstream, J d⟩ = ⟨Jᵀ upstream, d⟩ exactly, kinks or not.
        let (left, right) = (dot(&upstream, &tangent), dot(&d_input, &direction));
        assert!((left - right).abs() < 1e-11 * (1.0 + right.abs()), "{left} {right}");
        if case.shape.activation() != Activation::Relu {
            let at = |e: f64| {
                let x: Vec<f64> = case.input.iter().zip(&direction).map(|(x, d)| x + e * d).collect();
                forward(&case, &case.parameters, &x)
            };
            let by_difference: Vec<f64> =
                at(1e-6).iter().zip(at(-1e-6)).map(|(a, b)| (a - b) / 2e-6).collect();
            assert_close("tangent", &tangent, &by_difference, 1e-8);
        }
        let net = Mlp::new(case.shape.clone(), case.parameters.clone()).unwrap();
        let columns = case.shape.input();
        let op = net.tangent(&tensor(&case.input, columns), &tensor(&direction, columns)).unwrap();
        assert_eq!(vec_of(&op), tangent);
    }
}

#[test]
fn parameter_tangent_agrees_with_finite_differences_and_the_adjoint() {
    let mut rng = Pcg64::new(8, 1);
    for case in cases() {
        let direction = normals(&mut rng, case.parameters.len());
        let upstream = normals(&mut rng, ROWS * case.shape.output());
        let mut workspace = Workspace::new();
        let mut output = vec![0.0; upstream.len()];
        case.shape.forward(&case.parameters, &case.input, &mut workspace, &mut output);
        let mut d = vec![0.0; case.parameters.len()];
        case.shape.reverse(&case.parameters, &case.input, &workspace, &upstream, &mut d, None);
        let mut tangent = vec![f64::NAN; output.len()];
        case.shape.parameter_tangent(&case.parameters, &direction, &case.input, &workspace, &mut tangent);
        let (left, right) = (dot(&upstream, &tangent), dot(&d, &direction));
        assert!((left - right).abs() < 1e-11 * (1.0 + right.abs()), "{left} {right}");
        if case.shape.activation() != Activation::Relu {
            let at = |e: f64| {
                let p: Vec<f64> = case.parameters.iter().zip(&direction).map(|(p, d)| p + e * d).collect();
                forward(&case, &p, &case.input)
            };
            let by_difference: Vec<f64> =
                at(1e-6).iter().zip(at(-1e-6)).map(|(a, b)| (a - b) / 2e-6).collect();
            assert_close("parameter tangent", &tangent, &by_difference, 1e-7);
        }
    }
}

#[test]
fn a_tail_lies_after_the_network_and_is_left_alone() {
    let shape = MlpShape::new(2, &[3], 1, Activation::Tanh).with_tail("log_std", 2);
    assert_eq!((shape.parameter_count(), shape.tail()), (15, 13..15));
    assert_eq!(shape.layout().last().unwrap().name, "log_std");
    let parameters = vec![0.5f64; 15];
    let (mut output, mut d) = ([0.0], vec![0.0; 15]);
    let mut workspace = Workspace::new();
    shape.forward(&parameters, &[1.0, 2.0], &mut workspace, &mut output);
    shape.reverse(&parameters, &[1.0, 2.0], &workspace, &[1.0], &mut d, None);
    assert_eq!(d[13..], [0.0, 0.0]);
}

#[test]
fn value_and_gradient_and_its_own_gradient() {
    let mut rng = Pcg64::new(4, 1);
    for case in cases().iter().filter(|case| case.shape.output() == 1) {
        let (alpha, beta) = (normals(&mut rng, ROWS), normals(&mut rng, case.input.len()));
        let mut workspace = Workspace::new();
        let (mut value, mut gradient) = (vec![0.0; ROWS], vec![0.0; case.input.len()]);
        case.shape.value_and_gradient(
            &case.parameters,
            &case.input,
            &mut workspace,
            &mut value,
            &mut gradient,
        );

        // Against composed candle operations.
        let input = Var::from_tensor(&tensor(&case.input, case.shape.input())).unwrap();
        let parameters = Tensor::from_slice(&case.parameters, case.parameters.len(), &Device::Cpu).unwrap();
        let oracle = composed(case, &parameters, &input);
        let oracle_gradient = oracle.sum_all().unwrap().backward().unwrap();
        assert_close("value", &value, &vec_of(&oracle), 1e-12);
        assert_close("gradient", &gradient, &vec_of(oracle_gradient.get(&input).unwrap()), 1e-12);

        // The mixed second derivative, against differences of the first.
        let mut d_parameters = vec![0.0; case.parameters.len()];
        let mut d_input = vec![0.0; case.input.len()];
        case.shape.parameter_gradient(
            &case.parameters,
            &case.input,
            &workspace,
            &alpha,
            &beta,
            &mut d_parameters,
            Some(&mut d_input),
        );
        let objective = |p: &[f64], x: &[f64]| {
            let (value, gradient) = value_and_gradient(case, p, x);
            dot(&alpha, &value) + dot(&beta, &gradient)
        };
        let by_difference = differences(&case.parameters, |p| objective(p, &case.input));
        assert_close("mixed derivative", &d_parameters, &by_difference, 1e-6);
        let by_difference = differences(&case.input, |x| objective(&case.parameters, x));
        assert_close("input derivative", &d_input, &by_difference, 1e-6);

        // The candle operations are the same arithmetic.
        let net = Mlp::new(case.shape.clone(), case.parameters.clone()).unwrap();
        let joined = net.value_and_gradient(&input).unwrap();
        assert_eq!(vec_of(&joined.narrow(1, 0, 1).unwrap()), value);
        assert_eq!(vec_of(&joined.narrow(1, 1, case.shape.input()).unwrap()), gradient);
        let upstream = Tensor::cat(&[&tensor(&alpha, 1), &tensor(&beta, case.shape.input())], 1).unwrap();
        let gradients = (joined * upstream).unwrap().sum_all().unwrap().backward().unwrap();
        assert_close("op mixed", &vec_of(gradients.get(net.var()).unwrap()), &d_parameters, 1e-13);
        assert_close("op input", &vec_of(gradients.get(&input).unwrap()), &d_input, 1e-13);
        let direct =
            net.parameter_gradient(&input, &tensor(&alpha, 1), &tensor(&beta, case.shape.input())).unwrap();
        assert_close("parameter_gradient", &vec_of(&direct), &d_parameters, 1e-13);
    }
}

/// Relative to the largest entry: single entries may cancel.
fn worst_error(found: &[f32], expected: &[f64]) -> f64 {
    let largest = expected.iter().fold(0f64, |m, x| m.max(x.abs())).max(1e-3);
    found.iter().zip(expected).fold(0f64, |m, (&a, &b)| m.max((f64::from(a) - b).abs() / largest))
}

#[test]
fn f32_agrees_with_f64() {
    let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<f32>>();
    let mut rng = Pcg64::new(5, 1);
    let mut worst = 0f64;
    for case in cases().iter().filter(|case| case.shape.output() == 1) {
        // Round first, so that both see the same numbers (a ReLU's kink would else decide differently).
        let wide = |x: &[f64]| x.iter().map(|&x| f64::from(x as f32)).collect::<Vec<f64>>();
        let (p, x) = (wide(&case.parameters), wide(&case.input));
        let (alpha, beta) = (wide(&normals(&mut rng, ROWS)), wide(&normals(&mut rng, x.len())));
        let (value, gradient) = value_and_gradient(case, &p, &x);
        let mut d = vec![0.0; p.len()];
        let mut workspace = Workspace::new();
        let (mut v, mut g) = (vec![0.0; ROWS], vec![0.0; x.len()]);
        case.shape.value_and_gradient(&p, &x, &mut workspace, &mut v, &mut g);
        case.shape.parameter_gradient(&p, &x, &workspace, &alpha, &beta, &mut d, None);

        let (p, x) = (narrow(&p), narrow(&x));
        let mut workspace = Workspace::new();
        let (mut v32, mut g32, mut d32) = (vec![0f32; ROWS], vec![0f32; x.len()], vec![0f32; p.len()]);
        case.shape.value_and_gradient(&p, &x, &mut workspace, &mut v32, &mut g32);
        case.shape.parameter_gradient(&p, &x, &workspace, &narrow(&alpha), &narrow(&beta), &mut d32, None);
        for error in [worst_error(&v32, &value), worst_error(&g32, &gradient), worst_error(&d32, &d)] {
            worst = worst.max(error);
        }
    }
    println!("greatest relative difference of f32 from f64: {worst:.1e}");
    assert!(worst < 2e-5, "{worst}");
}

/// A row's result must not depend on the rows beside it: workers split batches differently.
#[test]
fn a_row_does_not_depend_on_its_batch() {
    let mut rng = Pcg64::new(6, 1);
    for (hidden, output) in [(&[64usize, 64][..], 2), (&[256, 256], 1), (&[400, 300], 6), (&[48], 12)] {
        let shape = MlpShape::new(4, hidden, output, Activation::Tanh);
        let parameters = shape.orthogonal::<f32>(&mut rng, 1.4, 1.0);
        let input: Vec<f32> = (0..4 * 256).map(|_| rng.random_range(-1.0..1.0)).collect();
        let mut whole = vec![0f32; 256 * output];
        shape.forward(&parameters, &input, &mut Workspace::new(), &mut whole);
        for rows in [1usize, 2, 3, 4, 5, 7, 8, 12, 16, 31, 64, 128] {
            let mut part = vec![0f32; rows * output];
            for start in [0, 17, 256 - rows] {
                let x = &input[4 * start..4 * (start + rows)];
                shape.forward(&parameters, x, &mut Workspace::new(), &mut part);
                assert_eq!(
                    part,
                    whole[start * output..(start + rows) * output],
                    "{rows} rows from {start} of a 4-{hidden:?}-{output} net"
                );
            }
        }
    }
}

#[test]
fn wrong_shapes_are_errors_that_name_them() {
    let shape = MlpShape::new(3, &[4], 2, Activation::Tanh);
    assert!(Mlp::<f32>::new(shape.clone(), vec![0.0; 3]).unwrap_err().to_string().contains("26 parameters"));
    let net = Mlp::<f32>::new(shape, vec![0.0; 26]).unwrap();
    let wrong = Tensor::zeros((5, 4), DType::F32, &Device::Cpu).unwrap();
    assert!(net.forward(&wrong).unwrap_err().to_string().contains("[B, 3]"));
    let right = Tensor::zeros((5, 3), DType::F32, &Device::Cpu).unwrap();
    assert!(net.value_and_gradient(&right).unwrap_err().to_string().contains("one output"));
    assert!(net.forward(&right.to_dtype(DType::F64).unwrap()).is_err());
}

/// Rows sent forward a few at a time, and taken from another workspace: the activations and the gradient of one pass, bit for bit.
#[test]
fn rows_may_come_one_after_another() {
    let mut rng = Pcg64::new(5, 1);
    for case in cases() {
        let (input, outputs) = (case.shape.input(), case.shape.output());
        let d = normals(&mut rng, ROWS * outputs);
        let reverse = |workspace: &Workspace<f64>| {
            let mut gradient = vec![0.0; case.parameters.len()];
            case.shape.reverse(&case.parameters, &case.input, workspace, &d, &mut gradient, None);
            gradient
        };
        let (mut whole, mut expected) = (Workspace::new(), vec![0.0; d.len()]);
        case.shape.forward(&case.parameters, &case.input, &mut whole, &mut expected);
        let gradient = reverse(&whole);

        let (mut grown, mut output) = (Workspace::new(), vec![0.0; d.len()]);
        // More rows than will be used.
        case.shape.forward_behind(&case.parameters, &case.input, 2, &mut grown, &mut output);
        let mut first = 0;
        for rows in [1, 0, 2, ROWS - 3] {
            let x = &case.input[first * input..(first + rows) * input];
            let output = &mut output[first * outputs..(first + rows) * outputs];
            case.shape.forward_behind(&case.parameters, x, first, &mut grown, output);
            first += rows;
        }
        assert_eq!(output, expected);
        assert_eq!(reverse(&grown), gradient);

        let mut taken = Workspace::new();
        taken.take_rows(&case.shape, &grown, 0..2, 0);
        taken.take_rows(&case.shape, &whole, 2..ROWS, 2);
        assert_eq!(reverse(&taken), gradient);
    }
}
