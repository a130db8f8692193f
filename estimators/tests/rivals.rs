//! MuProp, DisARM and leave-one-out, exactly: by enumeration of all outcomes, not by sampling.
use crate::common::{close, nodes, rng};
use relax_estimators::{
    Baseline, Projection, Real, bernoulli, categorical, combine, disarm, exact, muprop, muprop_correction,
    noise, reinforce,
};

const LOGITS: [f64; 3] = [0.3, -0.7, 1.1];
const GRADIENT: [f64; 3] = [-0.663_195_591_5, -0.854_219_976_8, 0.781_657_591_1];

fn f(b: &[f64]) -> f64 {
    (b[0] + 2.0 * b[1] - 3.0 * b[2] + 1.5 * b[0] * b[1] * b[2] - 0.4).powi(2)
}

fn f_gradient(b: &[f64]) -> [f64; 3] {
    let inner = b[0] + 2.0 * b[1] - 3.0 * b[2] + 1.5 * b[0] * b[1] * b[2] - 0.4;
    let slopes = [1.0 + 1.5 * b[1] * b[2], 2.0 + 1.5 * b[0] * b[2], -3.0 + 1.5 * b[0] * b[1]];
    slopes.map(|slope| 2.0 * inner * slope)
}

/// All pairs (b, b̃) of antithetic samples with their probabilities: u below, between and above θ and 1−θ.
fn antithetic_pairs() -> Vec<(f64, [f64; 3], [f64; 3])> {
    let mut pairs = vec![(1.0, [0.0; 3], [0.0; 3])];
    for (i, a) in LOGITS.into_iter().enumerate() {
        let theta = a.sigmoid();
        let (lower, upper) = (theta.min(1.0 - theta), theta.max(1.0 - theta));
        let pieces = [(0.0, lower), (lower, upper), (upper, 1.0)];
        pairs = pairs
            .into_iter()
            .flat_map(|(probability, b, b_antithetic)| {
                pieces.map(|(from, to)| {
                    let (mut z, mut at, mut other) = ([0.0], [0.0], [0.0]);
                    bernoulli::relaxed_sample(&[a], &[0.5 * (from + to)], &mut z);
                    bernoulli::hard_sample(&z, &mut at);
                    bernoulli::antithetic_sample(&[a], &[0.5 * (from + to)], &mut z);
                    bernoulli::hard_sample(&z, &mut other);
                    let (mut b, mut b_antithetic) = (b, b_antithetic);
                    (b[i], b_antithetic[i]) = (at[0], other[0]);
                    (probability * (to - from), b, b_antithetic)
                })
            })
            .collect();
    }
    pairs
}

#[test]
fn disarm_on_three_bernoullis() {
    let (mut mean, mut square) = ([0.0; 3], [0.0; 3]);
    for (probability, b, other) in antithetic_pairs() {
        let mut g = [0.0; 3];
        disarm(&LOGITS, &b, &other, &[f(&b)], &[f(&other)], &mut g);
        for i in 0..3 {
            mean[i] += probability * g[i];
            square[i] += probability * g[i] * g[i];
        }
    }
    // By an independent enumeration in another language; often quoted as 2.51520, 1.59811, 1.44194.
    for (i, variance) in [2.515_194_521_1, 1.598_110_633_5, 1.441_943_774_5].into_iter().enumerate() {
        close(mean[i], GRADIENT[i], 1e-10);
        close(square[i] - mean[i] * mean[i], variance, 1e-9);
    }
}

/// DisARM is ARM, (f(b) − f(b̃))·(u − ½), with u integrated out given the pair.
#[test]
fn disarm_is_arm_given_the_pair() {
    let a = -0.7_f64;
    let theta = a.sigmoid();
    for (from, to) in [(0.0, theta), (theta, 1.0 - theta), (1.0 - theta, 1.0)] {
        let (mut arm, mut rao_blackwell) = (0.0, 0.0);
        for (u, weight) in nodes(from, to) {
            let (mut z, mut b, mut other, mut g) = ([0.0], [0.0], [0.0], [0.0]);
            bernoulli::relaxed_sample(&[a], &[u], &mut z);
            bernoulli::hard_sample(&z, &mut b);
            bernoulli::antithetic_sample(&[a], &[u], &mut z);
            bernoulli::hard_sample(&z, &mut other);
            let value = |b: f64| 1.7 * b - 0.4;
            disarm(&[a], &b, &other, &[value(b[0])], &[value(other[0])], &mut g);
            arm += weight * (value(b[0]) - value(other[0])) * (u - 0.5);
            rao_blackwell += weight * g[0];
        }
        close(arm, rao_blackwell, 1e-9);
    }
}

#[test]
fn muprop_on_three_bernoullis() {
    let theta = LOGITS.map(f64::sigmoid);
    let (f_mean, slope) = (f(&theta), f_gradient(&theta));
    let estimate = |b: &[f64]| {
        let (mut s, mut g) = ([0.0; 3], [0.0; 3]);
        bernoulli::score(&LOGITS, b, &mut s);
        muprop(&s, Projection::Identity, &[f(b)], &[f_mean], &slope, &mut g);
        g
    };
    for (i, expected) in GRADIENT.into_iter().enumerate() {
        close(exact::bernoulli(&LOGITS, |b| estimate(b)[i]).unwrap().value, expected, 1e-10);
    }
}

/// A quadratic form over the outcomes of a 3-way choice, whose value at the corners is known only through it.
#[test]
fn muprop_on_a_three_way_choice() {
    let logits = [0.5, -0.2, 0.1];
    let value = |x: &[f64]| (x[0] - 2.0 * x[1] + 0.5 * x[2]).powi(2) + 0.3 * x[0];
    let slope = |x: &[f64]| {
        let inner = 2.0 * (x[0] - 2.0 * x[1] + 0.5 * x[2]);
        [inner + 0.3, -2.0 * inner, 0.5 * inner]
    };
    let (mut log_p, mut p) = ([0.0; 3], [0.0; 3]);
    categorical::log_softmax(&logits, 3, &mut log_p);
    categorical::probabilities(&log_p, &mut p);
    let corner = |b: usize| std::array::from_fn::<f64, 3, _>(|i| f64::from(u8::from(i == b)));
    let exact = exact::categorical(&logits, |b| value(&corner(b)));
    let mut mean = [0.0; 3];
    for b in 0..3 {
        let (mut s, mut g) = ([0.0; 3], [0.0; 3]);
        categorical::score(&p, &[b as u32], &mut s);
        muprop(&s, Projection::Softmax(&p), &[value(&corner(b))], &[value(&p)], &slope(&p), &mut g);
        mean.iter_mut().zip(g).for_each(|(m, g)| *m += p[b] * g);
    }
    mean.iter().zip(&exact.gradient).for_each(|(&m, &e)| close(m, e, 1e-14));
}

/// Gain 1 is MuProp, gain 0 REINFORCE; and f32 batches agree with f64.
#[test]
fn the_correction_of_muprop_and_its_batches() {
    const B: usize = 8;
    let mut rng = rng(3);
    let (mut logits, mut u) = ([0.0; 3 * B], [0.0; 3 * B]);
    noise::fill_normal(&mut rng, &mut logits);
    noise::fill_uniform(&mut rng, &mut u);
    let (mut z, mut b, mut s, mut theta) = ([0.0; 3 * B], [0.0; 3 * B], [0.0; 3 * B], [0.0; 3 * B]);
    bernoulli::relaxed_sample(&logits, &u, &mut z);
    bernoulli::hard_sample(&z, &mut b);
    bernoulli::score(&logits, &b, &mut s);
    bernoulli::probabilities(&logits, &mut theta);
    let fb: Vec<f64> = b.chunks(3).map(f).collect();
    let f_mean: Vec<f64> = theta.chunks(3).map(f).collect();
    let slope: Vec<f64> = theta.chunks(3).flat_map(f_gradient).collect();
    let [mut whole, mut plain, mut off, mut combined] = [[0.0; 3 * B]; 4];
    for projection in [Projection::Identity, Projection::Softmax(&theta)] {
        muprop(&s, projection, &fb, &f_mean, &slope, &mut whole);
        reinforce(&s, &fb, Baseline::None, &mut plain);
        muprop_correction(&s, projection, &f_mean, &slope, &mut off);
        combine(&plain, &off, 1.0, &mut combined);
        combined.iter().zip(&whole).for_each(|(&c, &w)| close(c, w, 1e-12));
    }
    let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<_>>();
    let mut single = [0.0_f32; 3 * B];
    muprop(&narrow(&s), Projection::Identity, &narrow(&fb), &narrow(&f_mean), &narrow(&slope), &mut single);
    muprop(&s, Projection::Identity, &fb, &f_mean, &slope, &mut whole);
    single.iter().zip(&whole).for_each(|(&x, &y)| close(f64::from(x), y, 1e-4));
}
