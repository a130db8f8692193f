//! A reader of exported policies that knows the file and nothing of the program: slow, and in 64-bit numbers.

use std::collections::BTreeMap;

use relax_rl::export::{Plan, Step};

/// What a plan says of some observations.
pub struct Read {
    /// An action a row.
    pub actions: Vec<Vec<f64>>,
    /// Results beside the action, a list a row.
    pub results: BTreeMap<String, Vec<Vec<f64>>>,
    /// The logits as they are chosen from, where there are any.
    masked: Vec<Vec<f64>>,
}

impl Read {
    /// Whether a factor of the row has two best choices whose logits rounding could swap.
    pub fn is_close_call(&self, plan: &Plan, row: usize) -> bool {
        let sizes = plan.steps.iter().find_map(|step| match step {
            Step::Largest { sizes, .. } => Some(sizes.clone()),
            _ => None,
        });
        let mut at = 0;
        sizes.unwrap_or_default().into_iter().any(|size| {
            let mut logits = self.masked[row][at..at + size].to_vec();
            at += size;
            logits.sort_by(|a, b| b.total_cmp(a));
            logits.len() > 1 && logits[0] - logits[1] < 1e-5 * (1.0 + logits[0].abs())
        })
    }
}

/// Follows the steps of `plan`.
pub fn read(plan: &Plan, observations: &[f32], masks: Option<&[bool]>) -> Read {
    let dim: usize = plan.observation.iter().product();
    let tensor = |name: &str| -> Vec<f64> { plan.tensors[name].data.iter().map(|&x| f64::from(x)).collect() };
    let shape = |name: &str| plan.tensors[name].shape.clone();
    let mut x: Vec<Vec<f64>> =
        observations.chunks_exact(dim).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect();
    let mut picture = [0; 3];
    let mut results = BTreeMap::new();
    let mut masked = Vec::new();
    for step in &plan.steps {
        let each =
            |x: &mut Vec<Vec<f64>>, f: &dyn Fn(f64) -> f64| x.iter_mut().flatten().for_each(|x| *x = f(*x));
        let placed = |x: &mut Vec<Vec<f64>>, f: &dyn Fn(usize, f64) -> f64| {
            x.iter_mut().for_each(|row| row.iter_mut().enumerate().for_each(|(i, x)| *x = f(i, *x)));
        };
        match step {
            Step::Flatten | Step::Reshape { .. } => {}
            Step::Scale { mean, factor, limit } => {
                let (mean, factor, limit) = (tensor(mean), tensor(factor), f64::from(*limit));
                placed(&mut x, &|i, x| ((x - mean[i]) * factor[i]).clamp(-limit, limit));
            }
            Step::Picture { dimensions, order, shape, factor } => {
                picture = [shape[0], shape[1], shape[2]];
                let strides: Vec<usize> = (0..4).map(|i| dimensions[i + 1..].iter().product()).collect();
                for row in &mut x {
                    let of = |i: usize| (dimensions[order[i]], strides[order[i]]);
                    let [rows, columns, frames, channels] = [of(0), of(1), of(2), of(3)];
                    let mut pixels = Vec::with_capacity(row.len());
                    for a in 0..rows.0 {
                        for b in 0..columns.0 {
                            for c in 0..frames.0 {
                                for d in 0..channels.0 {
                                    let at = a * rows.1 + b * columns.1 + c * frames.1 + d * channels.1;
                                    pixels.push(row[at] * f64::from(*factor));
                                }
                            }
                        }
                    }
                    *row = pixels;
                }
            }
            Step::Convolution { weight, bias, stride } => {
                let (sizes, weight, bias) = (shape(weight), tensor(weight), tensor(bias));
                let [side, _, inputs, outputs] = sizes[..] else { panic!("{sizes:?}") };
                let [height, width, channels] = picture;
                assert_eq!(channels, inputs);
                picture = [(height - side) / stride + 1, (width - side) / stride + 1, outputs];
                for row in &mut x {
                    let mut out = Vec::with_capacity(picture.iter().product());
                    for a in 0..picture[0] {
                        for b in 0..picture[1] {
                            let mut sums = bias.clone();
                            for (k, l) in (0..side).flat_map(|k| (0..side).map(move |l| (k, l))) {
                                for c in 0..inputs {
                                    let pixel =
                                        row[((a * stride + k) * width + b * stride + l) * channels + c];
                                    let from = ((k * side + l) * inputs + c) * outputs;
                                    sums.iter_mut()
                                        .zip(&weight[from..])
                                        .for_each(|(sum, w)| *sum += pixel * w);
                                }
                            }
                            out.extend(sums);
                        }
                    }
                    *row = out;
                }
            }
            Step::Affine { weight, bias } => {
                let (weight, bias) = (tensor(weight), tensor(bias));
                for row in &mut x {
                    let mut out = bias.clone();
                    for (x, weights) in row.iter().zip(weight.chunks_exact(bias.len())) {
                        out.iter_mut().zip(weights).for_each(|(sum, w)| *sum += x * w);
                    }
                    *row = out;
                }
            }
            Step::Relu => each(&mut x, &|x| x.max(0.0)),
            Step::Tanh => each(&mut x, &f64::tanh),
            Step::Elu => each(&mut x, &|x| if x > 0.0 { x } else { x.exp_m1() }),
            Step::Output { name } => drop(results.insert(name.clone(), x.clone())),
            Step::Constant { name, tensor: of } => {
                drop(results.insert(name.clone(), vec![tensor(of); x.len()]))
            }
            Step::Split { name, count, limits } => {
                let mut more: Vec<Vec<f64>> = x.iter_mut().map(|row| row.split_off(*count)).collect();
                if let Some([low, high]) = limits {
                    each(&mut more, &|x| x.clamp(f64::from(*low), f64::from(*high)));
                }
                results.insert(name.clone(), more);
            }
            Step::Mask => {
                let masks = masks.expect("masks");
                for (row, masks) in
                    x.iter_mut().zip(masks.chunks_exact(masks.len() / (observations.len() / dim)))
                {
                    row.iter_mut()
                        .zip(masks)
                        .filter(|(_, allowed)| !**allowed)
                        .for_each(|(x, _)| *x = f64::NEG_INFINITY);
                }
            }
            Step::Largest { sizes, start, .. } => {
                masked = x.clone();
                for row in &mut x {
                    let mut rest = &row[..];
                    let mut chosen = Vec::with_capacity(sizes.len());
                    for size in sizes {
                        let (own, others) = rest.split_at(*size);
                        let best = (0..*size).rev().max_by(|&a, &b| own[a].total_cmp(&own[b])).unwrap_or(0);
                        chosen.push((best as i64 + start) as f64);
                        rest = others;
                    }
                    *row = chosen;
                }
            }
            Step::Stretch { low, high } => {
                let (low, high) = (tensor(low), tensor(high));
                placed(&mut x, &|i, x| low[i] + 0.5 * (x + 1.0) * (high[i] - low[i]));
            }
            Step::Clip { low, high } => {
                let (low, high) = (tensor(low), tensor(high));
                placed(&mut x, &|i, x| x.max(low[i]).min(high[i]));
            }
        }
    }
    Read { actions: x, results, masked }
}
