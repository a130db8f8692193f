//! Exact answers on models small enough to enumerate, in double precision.

use crate::stream::stream;
use crate::vae::baseline::Centre;
use crate::vae::control::Control;
use crate::vae::estimate::Estimate;
use crate::vae::path::Path;
use crate::vae::pixels::Pixels;
use crate::vae::relaxed::{Above, Relaxed};
use crate::vae::weights::Weights;
use crate::vae::{Architecture, METHODS, Settings, Trainer};
use rand::Rng;
use relax_estimators::certify::{Moments, certify};
use relax_estimators::{Coupling, Estimator, Real as _};

const PIXELS: usize = 3;
const MEAN: [f32; PIXELS] = [0.3, 0.6, 0.5];
const IMAGES: [f64; 2 * PIXELS] = [1.0, 0.0, 1.0, 0.0, 1.0, 1.0];

fn architectures() -> [Architecture; 4] {
    let of = |latent: &[usize], hidden: &[usize]| Architecture {
        pixels: PIXELS,
        latent: latent.to_vec(),
        hidden: hidden.to_vec(),
    };
    [of(&[3], &[]), of(&[2, 3], &[]), of(&[2], &[4, 3]), of(&[2, 1, 2], &[2])]
}

fn uniform(rng: &mut impl Rng) -> f64 {
    f64::open_unit(rng.next_u64())
}

/// Weights away from their start: biases and prior are not 0.
fn weights(architecture: &Architecture, seed: u64) -> Weights<f64> {
    let mut rng = stream(seed, 100, 0);
    let mut weights = Weights::new(architecture.clone(), &MEAN, &mut rng);
    for w in &mut weights.parameters {
        *w += 0.6 * (uniform(&mut rng) - 0.5);
    }
    weights
}

fn noise(architecture: &Architecture, rows: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = stream(seed, 101, 0);
    architecture.latent.iter().map(|&k| (0..rows * k).map(|_| uniform(&mut rng)).collect()).collect()
}

fn path(weights: &Weights<f64>, x: &[f64], u: &[Vec<f64>]) -> Path<f64> {
    let mut centred = Pixels::default();
    centred.read(x, &weights.pixel_mean);
    let mut path = Path::default();
    path.run(weights, x, &centred, 0, u);
    path
}

fn close(name: &str, found: f64, expected: f64, tolerance: f64) {
    let error = (found - expected).abs() / (1.0 + expected.abs());
    assert!(error < tolerance, "{name}: {found} instead of {expected}");
}

/// The bound's terms written out as in the definition, for one image and given hard samples.
fn loss_by_definition(weights: &Weights<f64>, x: &[f64], b: &[Vec<f64>]) -> f64 {
    let mut layout = weights.layout.clone();
    let theta = &weights.parameters;
    let log_p = |logits: &[f64], b: &[f64]| -> f64 {
        logits.iter().zip(b).map(|(&a, &b)| b * a - a.softplus()).sum()
    };
    let net = |part: &crate::vae::architecture::Part, input: &[f64]| {
        let mut out = vec![0.0; part.shape.output()];
        part.shape.forward(part.of(theta), input, &mut relax_nn::Workspace::new(), &mut out);
        out
    };
    let signs = |b: &[f64]| b.iter().map(|b| 2.0 * b - 1.0).collect::<Vec<f64>>();
    let mut bound = log_p(&theta[layout.prior.clone()], &b[b.len() - 1]);
    let mut below: Vec<f64> = x.iter().zip(&weights.pixel_mean).map(|(x, m)| x - m).collect();
    for (l, (encoder, decoder)) in layout.encoders.drain(..).zip(layout.decoders.drain(..)).enumerate() {
        bound -= log_p(&net(&encoder, &below), &b[l]);
        let mut o = net(&decoder, &signs(&b[l]));
        if l == 0 {
            weights.add_output_bias(&mut o);
        }
        bound += log_p(&o, if l == 0 { x } else { &b[l - 1] });
        below = signs(&b[l]);
    }
    -bound
}

#[test]
fn f_is_the_bound_by_its_definition() {
    for architecture in architectures() {
        let weights = weights(&architecture, 1);
        let path = path(&weights, &IMAGES, &noise(&architecture, 2, 2));
        for row in 0..2 {
            let b: Vec<Vec<f64>> = (0..architecture.layers())
                .map(|l| path.layers[l].b.chunks(architecture.latent[l]).nth(row).unwrap().to_vec())
                .collect();
            let x = &IMAGES[row * PIXELS..(row + 1) * PIXELS];
            close("f", path.f[row], loss_by_definition(&weights, x, &b), 1e-12);
        }
    }
}

#[test]
fn decoder_gradient_is_the_derivative_of_f() {
    for architecture in architectures() {
        let mut weights = weights(&architecture, 3);
        let u = noise(&architecture, 2, 4);
        let mut gradient = vec![0.0; weights.parameters.len()];
        let path_here = path(&weights, &IMAGES, &u);
        (0..architecture.layers()).for_each(|l| path_here.decoder_gradient(&weights, l, &mut gradient));
        path_here.prior_gradient(&weights, &mut gradient);
        let start = weights.layout.decoders[0].at.start;
        for (i, &found) in gradient.iter().enumerate().skip(start) {
            let (value, step) = (weights.parameters[i], 1e-6);
            let mut at = |w: f64| {
                weights.parameters[i] = w;
                path(&weights, &IMAGES, &u).f.iter().sum::<f64>()
            };
            let difference = (at(value + step) - at(value - step)) / (2.0 * step);
            weights.parameters[i] = value;
            close("decoder", found, difference, 1e-7);
        }
    }
}

/// The relaxed bound, its gradient by z, and d/dlog λ of α·h + β·∇h, against differences; two points a row.
#[test]
fn the_relaxed_bound_and_its_derivatives() {
    for architecture in architectures() {
        let weights = weights(&architecture, 5);
        let hard = path(&weights, &IMAGES, &noise(&architecture, 2, 6));
        for layer in 0..architecture.layers() {
            for above in [Above::Sampled, Above::Mean] {
                let mut rng = stream(7, 102, layer as u64);
                let mut draw = |n: usize| (0..n).map(|_| 4.0 * uniform(&mut rng) - 2.0).collect::<Vec<f64>>();
                let k = architecture.latent[layer];
                let (z, alpha, beta) = (draw(4 * k), draw(4), draw(4 * k));
                let at = |z: &[f64], log_temperature: f64| {
                    let mut relaxed = Relaxed::default();
                    let temperature = log_temperature.exp();
                    relaxed.evaluate(&weights, &hard, &IMAGES, layer, temperature, above, z);
                    relaxed
                };
                let (log_temperature, step) = (-0.4, 1e-5);
                let mut here = at(&z, log_temperature);
                for i in 0..z.len() {
                    let mut moved = z.clone();
                    moved[i] += step;
                    let up: f64 = at(&moved, log_temperature).value.iter().sum();
                    moved[i] -= 2.0 * step;
                    let down: f64 = at(&moved, log_temperature).value.iter().sum();
                    close("∂h/∂z", here.gradient()[i], (up - down) / (2.0 * step), 1e-7);
                }
                let objective = |log_temperature: f64| {
                    let there = at(&z, log_temperature);
                    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
                    dot(&alpha, &there.value) + dot(&beta, there.gradient())
                };
                let difference =
                    (objective(log_temperature + step) - objective(log_temperature - step)) / (2.0 * step);
                close("∂/∂log λ", here.temperature_gradient(&weights, &alpha, &beta), difference, 1e-6);
            }
        }
    }
}

#[test]
fn nearly_hard_relaxation_is_the_hard_bound() {
    for architecture in architectures() {
        let weights = weights(&architecture, 8);
        let hard = path(&weights, &IMAGES, &noise(&architecture, 2, 9));
        for layer in 0..architecture.layers() {
            let mut relaxed = Relaxed::default();
            let z = &hard.layers[layer].z;
            relaxed.evaluate(&weights, &hard, &IMAGES, layer, 1e-9, Above::Sampled, z);
            for (h, f) in relaxed.value.iter().zip(&hard.f) {
                close("h", *h, *f, 1e-9);
            }
        }
    }
}

fn settings(method: Estimator) -> Settings {
    Settings { control_variate_hidden: vec![4, 3], ..Settings::new(method) }
}

/// φ away from its start, so that no term of its gradient vanishes.
fn control(architecture: &Architecture, settings: &Settings) -> Control<f64> {
    let mut rng = stream(11, 103, 0);
    let mut control = Control::new(architecture, settings, &mut rng);
    control.parameters.iter_mut().for_each(|p| *p += 0.8 * (uniform(&mut rng) - 0.5));
    control
}

#[test]
fn control_variates_descend_the_squared_norm() {
    for architecture in architectures() {
        let weights = weights(&architecture, 10);
        for method in METHODS {
            let settings = settings(method);
            let mut control = control(&architecture, &settings);
            let centres = vec![Centre::from_state([0.3, 0.1]); architecture.layers()];
            let run = |control: &Control<f64>, d: Option<&mut [f64]>| {
                let mut estimate = Estimate::default();
                let mut rng = stream(12, 104, 0);
                estimate.run(&weights, control, &centres, &settings, &IMAGES, &mut rng, d);
                estimate.gradients.iter().flatten().map(|g| g * g).sum::<f64>() / 2.0
            };
            let mut d = vec![f64::NAN; control.parameters.len()];
            run(&control, Some(&mut d));
            if matches!(method, Estimator::Nvil | Estimator::MuProp | Estimator::Surrogate { .. }) {
                continue; // fitted by least squares instead: the next tests
            }
            for (i, &found) in d.iter().enumerate() {
                let (value, step) = (control.parameters[i], 1e-5);
                control.parameters[i] = value + step;
                let up = run(&control, None);
                control.parameters[i] = value - step;
                let down = run(&control, None);
                control.parameters[i] = value;
                let name = format!("{method} {:?} φ[{i}]", architecture.latent);
                close(&name, found, (up - down) / (2.0 * step), 1e-5);
            }
        }
    }
}

/// The surrogate's r descends ½ mean (f − centre − r)² at the hard samples: its gradient against differences. The highest layer's
/// residuals are the ones that the estimate keeps.
#[test]
fn the_surrogate_descends_the_squared_error() {
    for architecture in architectures() {
        let weights = weights(&architecture, 15);
        let settings = settings(Estimator::Surrogate { group: 2, passes: 1 });
        let mut control = control(&architecture, &settings);
        let centres = vec![Centre::from_state([0.3, 0.1]); architecture.layers()];
        let mut d = vec![f64::NAN; control.parameters.len()];
        let run = |control: &Control<f64>, d: Option<&mut [f64]>| {
            let mut estimate = Estimate::default();
            estimate.run(&weights, control, &centres, &settings, &IMAGES, &mut stream(16, 107, 0), d);
            estimate
        };
        let estimate = run(&control, Some(&mut d));
        let (_, at) = control.layers[architecture.layers() - 1].free_form.clone().unwrap();
        let rows = estimate.path.f.len() as f64;
        let error = |control: &Control<f64>| {
            let estimate = run(control, Some(&mut vec![0.0; control.parameters.len()]));
            estimate.alpha.iter().map(|a| (a * rows).powi(2)).sum::<f64>() / (2.0 * rows)
        };
        for i in at {
            let (value, step) = (control.parameters[i], 1e-5);
            control.parameters[i] = value + step;
            let up = error(&control);
            control.parameters[i] = value - step;
            let down = error(&control);
            control.parameters[i] = value;
            close(&format!("{:?} φ[{i}]", architecture.latent), d[i], (up - down) / (2.0 * step), 1e-5);
        }
    }
}

/// NVIL and MuProp by their definitions, and their baselines' gradient against differences of ½ mean (signal − centre − V)².
#[test]
fn baselines_descend_the_squared_error() {
    for architecture in architectures() {
        let weights = weights(&architecture, 13);
        for method in [Estimator::Nvil, Estimator::MuProp] {
            let settings = settings(method);
            let control = control(&architecture, &settings);
            let centre = Centre::from_state([0.3, 0.1]);
            let centres = vec![centre; architecture.layers()];
            let (mut estimate, mut d) = (Estimate::default(), vec![f64::NAN; control.parameters.len()]);
            let mut rng = stream(14, 106, 0);
            estimate.run(&weights, &control, &centres, &settings, &IMAGES, &mut rng, Some(&mut d));
            let path = &estimate.path;
            for (layer, &k) in architecture.latent.iter().enumerate() {
                let (here, name) =
                    (&path.layers[layer], format!("{method} {:?} {layer}", architecture.latent));
                let (mut signal, mut slope) = (path.f.clone(), vec![0.0; here.logits.len()]);
                if method == Estimator::MuProp {
                    let mut mean_field = Relaxed::default();
                    mean_field.evaluate(&weights, path, &IMAGES, layer, 1.0, Above::Mean, &here.logits);
                    slope.copy_from_slice(mean_field.soft_gradient());
                    for (row, signal) in signal.iter_mut().enumerate() {
                        let at = row * k..(row + 1) * k;
                        let first_order: f64 =
                            slope[at.clone()].iter().zip(&here.minus_score[at]).map(|(d, s)| -d * s).sum();
                        *signal -= mean_field.value[row] + first_order;
                    }
                }
                let mut context = Vec::new();
                for row in 0..path.f.len() {
                    let image = &IMAGES[row * PIXELS..(row + 1) * PIXELS];
                    context.extend(image.iter().zip(&weights.pixel_mean).map(|(x, mean)| x - mean));
                    for (below, &k) in path.layers[..layer].iter().zip(&architecture.latent) {
                        context.extend_from_slice(&below.signs[row * k..(row + 1) * k]);
                    }
                }
                let (shape, at) = control.layers[layer].baseline.clone().unwrap();
                let residuals = |parameters: &[f64]| {
                    let mut v = vec![0.0; path.f.len()];
                    shape.forward(parameters, &context, &mut relax_nn::Workspace::new(), &mut v);
                    signal.iter().zip(v).map(|(f, v)| f - centre.value() - v).collect::<Vec<f64>>()
                };
                let mut parameters = control.parameters[at.clone()].to_vec();
                let residual = residuals(&parameters);
                for (i, &found) in estimate.gradients[layer].iter().enumerate() {
                    let theta = here.logits[i].sigmoid();
                    let expected = -here.minus_score[i] * residual[i / k] + theta * (1.0 - theta) * slope[i];
                    close(&format!("{name} ĝ[{i}]"), found, expected, 1e-12);
                }
                let mut error = |i: usize, step: f64| {
                    let value =
                        std::mem::replace(&mut parameters[i], control.parameters[at.start + i] + step);
                    let squares = residuals(&parameters).iter().map(|r| r * r).sum::<f64>();
                    parameters[i] = value;
                    squares / (2.0 * path.f.len() as f64)
                };
                for (i, &found) in d[at.clone()].iter().enumerate() {
                    let difference = (error(i, 1e-5) - error(i, -1e-5)) / 2e-5;
                    close(&format!("{name} φ[{i}]"), found, difference, 1e-6);
                }
            }
        }
    }
}

/// Minus the bound, by enumeration of all samples of one image.
fn expected_loss(weights: &Weights<f64>, x: &[f64]) -> f64 {
    let latent = &weights.architecture.latent;
    let total: usize = latent.iter().sum();
    (0..1_u32 << total)
        .map(|code| {
            let mut bits = (0..total).map(|i| f64::from((code >> i) & 1));
            let b: Vec<Vec<f64>> = latent.iter().map(|&k| bits.by_ref().take(k).collect()).collect();
            // u that gives these samples: below 1 − θ for 0, above it for 1.
            let theta = &weights.parameters;
            let mut below: Vec<f64> = x.iter().zip(&weights.pixel_mean).map(|(x, m)| x - m).collect();
            let mut probability = 1.0;
            for (encoder, b) in weights.layout.encoders.iter().zip(&b) {
                let mut a = vec![0.0; b.len()];
                let mut workspace = relax_nn::Workspace::new();
                encoder.shape.forward(encoder.of(theta), &below, &mut workspace, &mut a);
                for (&a, &b) in a.iter().zip(b) {
                    probability *= if b > 0.0 { a.sigmoid() } else { (-a).sigmoid() };
                }
                below = b.iter().map(|b| 2.0 * b - 1.0).collect();
            }
            probability * loss_by_definition(weights, x, &b)
        })
        .sum()
}

/// The gradient of the encoders' weights, summed over the two images, by differences of the enumerated loss.
fn exact_encoder_gradient(weights: &Weights<f64>) -> Vec<f64> {
    let mut moved = weights.clone();
    let end = weights.layout.encoders.last().unwrap().at.end;
    let total = |w: &Weights<f64>| IMAGES.chunks(PIXELS).map(|x| expected_loss(w, x)).sum::<f64>();
    (0..end)
        .map(|i| {
            let (value, step) = (weights.parameters[i], 1e-5);
            moved.parameters[i] = value + step;
            let up = total(&moved);
            moved.parameters[i] = value - step;
            let down = total(&moved);
            moved.parameters[i] = value;
            (up - down) / (2.0 * step)
        })
        .collect()
}

#[test]
fn every_estimator_is_unbiased_but_concrete() {
    for (index, architecture) in architectures().into_iter().take(3).enumerate() {
        let weights = weights(&architecture, 20 + index as u64);
        let exact = exact_encoder_gradient(&weights);
        for method in METHODS {
            let settings = settings(method);
            let control = control(&architecture, &settings);
            let centres = vec![Centre::from_state([0.3, 0.1]); architecture.layers()];
            let mut moments = Moments::new(exact.len());
            let mut estimate = Estimate::default();
            for draw in 0..20_000 {
                let mut rng = stream(21, 105, draw);
                estimate.run(&weights, &control, &centres, &settings, &IMAGES, &mut rng, None);
                let mut gradient = vec![0.0; weights.parameters.len()];
                for (layer, g) in estimate.gradients.iter().enumerate() {
                    estimate.path.encoder_gradient(&weights, layer, &estimate.pixels, g, &mut gradient);
                }
                let scale = 1.0 / method.needs().samples as f64;
                gradient.iter_mut().for_each(|g| *g *= scale);
                moments.push(&gradient[..exact.len()]);
            }
            let certificate = certify(&moments, &exact, 1e-3).unwrap();
            let name = format!("{method} {:?}", architecture.latent);
            println!("{name}: worst |z| {:.2}", certificate.worst());
            assert_eq!(certificate.passes(), method != Estimator::Concrete, "{name}: {certificate}");
        }
    }
}

/// log p(x) = log Σ_b p(x, b), by enumeration.
fn log_evidence(weights: &Weights<f64>, x: &[f64]) -> f64 {
    let latent = &weights.architecture.latent;
    let total: usize = latent.iter().sum();
    let joint = (0..1_u32 << total).map(|code| {
        let mut bits = (0..total).map(|i| f64::from((code >> i) & 1));
        let b: Vec<Vec<f64>> = latent.iter().map(|&k| bits.by_ref().take(k).collect()).collect();
        // −f = log p(x, b) − log q(b|x)
        let mut below: Vec<f64> = x.iter().zip(&weights.pixel_mean).map(|(x, m)| x - m).collect();
        let mut log_q = 0.0;
        for (encoder, b) in weights.layout.encoders.iter().zip(&b) {
            let mut a = vec![0.0; b.len()];
            let parameters = encoder.of(&weights.parameters);
            encoder.shape.forward(parameters, &below, &mut relax_nn::Workspace::new(), &mut a);
            log_q += a.iter().zip(b).map(|(&a, &b)| b * a - a.softplus()).sum::<f64>();
            below = b.iter().map(|b| 2.0 * b - 1.0).collect();
        }
        (log_q - loss_by_definition(weights, x, &b)).exp()
    });
    joint.sum::<f64>().ln()
}

#[test]
fn bounds_are_those_of_the_enumerated_model() {
    let x: Vec<f32> = IMAGES.iter().map(|&x| x as f32).collect();
    for architecture in architectures().into_iter().take(3) {
        let exact = weights(&architecture, 40);
        let mut narrow = Weights::<f32>::new(architecture.clone(), &MEAN, &mut stream(40, 100, 0));
        narrow.parameters = exact.parameters.iter().map(|&w| w as f32).collect();
        let model = crate::vae::Model { weights: narrow };
        let draws = 20_000;
        let bounds: Vec<Vec<f64>> = (0..draws).map(|draw| model.bound(&x, 1, draw)).collect();
        let tight = model.bound(&x, 20_000, 7);
        for (row, image) in IMAGES.chunks(PIXELS).enumerate() {
            // The evidence lower bound on average, ...
            let n = draws as f64;
            let mean = bounds.iter().map(|b| b[row]).sum::<f64>() / n;
            let variance = bounds.iter().map(|b| (b[row] - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let z = (mean + expected_loss(&exact, image)) / (variance / n).sqrt();
            assert!(z.abs() < 4.0, "{:?}: z = {z}", architecture.latent);
            // ... and the evidence itself from many samples. Its error is about √(Var w / n) / p(x) < 0.02 here.
            close("log p(x)", tight[row], log_evidence(&exact, image), 0.02);
        }
    }
}

#[test]
fn log_variance_is_that_of_the_gradients() {
    let architecture = architectures()[1].clone();
    let x: Vec<f32> = IMAGES.iter().map(|&x| x as f32).collect();
    let mut trainer =
        Trainer::new(architecture, Settings::new(Estimator::LeaveOneOut { group: 2 }), &MEAN, 3).unwrap();
    let batches = vec![x; 4000];
    let before = trainer.state();
    let (first, again) = (trainer.log_variance(&batches, 1), trainer.log_variance(&batches, 1));
    assert_eq!(first, again);
    assert_eq!(trainer.state(), before);
    // Two independent measurements agree.
    let second = trainer.log_variance(&batches, 2);
    for (a, b) in first.iter().zip(&second) {
        assert!((a - b).abs() < 0.15, "{first:?} {second:?}");
    }
}

#[test]
fn a_restored_trainer_goes_on_bit_for_bit() {
    let architecture = &architectures()[1];
    let x: Vec<f32> = IMAGES.iter().map(|&x| x as f32).collect();
    for method in METHODS {
        let settings = settings(method);
        let fresh = || Trainer::new(architecture.clone(), settings.clone(), &MEAN, 5).unwrap();
        let (mut first, mut second) = (fresh(), fresh());
        for _ in 0..20 {
            first.step(&x);
        }
        second.restore(&first.state()).unwrap();
        for _ in 0..20 {
            assert_eq!(first.step(&x), second.step(&x), "{method}");
        }
        assert_eq!(first.state(), second.state(), "{method}");
    }
}

/// Adam's first step is as long as the learning rate wherever there is a gradient.
#[test]
fn a_warm_up_trains_the_control_variate_alone() {
    let x: Vec<f32> = IMAGES.iter().map(|&x| x as f32).collect();
    let settings = Settings {
        warm_up: 3,
        learning_rate: 2e-3,
        control_variate_learning_rate: 5e-3,
        ..settings(Estimator::RelaxedRebar(Coupling::Coupled))
    };
    let mut trainer = Trainer::new(architectures()[1].clone(), settings, &MEAN, 5).unwrap();
    let parts = |trainer: &Trainer| {
        let state = trainer.state();
        ["model.parameters", "control_variate.parameters"].map(|name| match state.get(name).unwrap() {
            relax_nn::StateTensor::F32 { data, .. } => data.clone(),
            other => panic!("{name}: {other:?}"),
        })
    };
    let mut before = parts(&trainer);
    for iteration in 0..5 {
        trainer.step(&x);
        let after = parts(&trainer);
        let [model, control] = [0, 1].map(|part| {
            let moves = before[part].iter().zip(&after[part]).map(|(a, b)| f64::from((a - b).abs()));
            moves.fold(0.0, f64::max)
        });
        match iteration {
            0 => close("the control variate's first step", control, 5e-3, 1e-5),
            3 => close("the model's first step", model, 2e-3, 1e-5),
            _ => assert!(control > 0.0, "the control variate at iteration {iteration}"),
        }
        assert_eq!(model > 0.0, iteration >= 3, "the model at iteration {iteration}");
        before = after;
    }
}

#[test]
fn wrong_requests_are_errors_that_say_what() {
    let architecture = architectures()[0].clone();
    let fails = |settings: Settings, mean: &[f32]| {
        Trainer::new(architecture.clone(), settings, mean, 0).unwrap_err().to_string()
    };
    let fine = Settings::new(Estimator::Relax(Coupling::Independent));
    assert!(fails(fine.clone(), &MEAN[..2]).contains("3 pixels"));
    assert!(fails(Settings { learning_rate: 0.0, ..fine.clone() }, &MEAN).contains("learning_rate"));
    assert!(fails(Settings { control_variate_hidden: vec![], ..fine.clone() }, &MEAN).contains("hidden"));
    let no_baseline = Settings { method: Estimator::Baseline, ..fine.clone() };
    assert!(
        fails(no_baseline, &MEAN).contains("baseline does not train auto-encoders; there are reinforce,")
    );
    let mut trainer = Trainer::new(architecture.clone(), fine.clone(), &MEAN, 0).unwrap();
    let other = Trainer::new(architectures()[1].clone(), fine, &MEAN, 0).unwrap();
    assert!(trainer.restore(&other.state()).is_err());
}
