//! The identities of the estimators, exactly: by enumeration and quadrature, not by sampling.
use crate::common::{close, nodes, normal_expectation, rng, wavy};
use relax_estimators::{
    Baseline, GaussianNode, Link, Node, Real, Relaxation, bernoulli, categorical, combine, correction,
    correction_coupled, exact, gain_gradient, lax, lax_adjoint, lax_correction, log_temperature_gradient,
    noise, reinforce, relax, relax_adjoint, relax_coupled, relax_coupled_adjoint,
};

const B: usize = 64;
const K: usize = 3;

/// A batch of categorical nodes with random logits, in every form a test may want.
struct Batch {
    f: Vec<f64>,
    probs: Vec<f64>,
    score: Vec<f64>,
    z: Vec<f64>,
    w: Vec<f64>,
    w_coupled: Vec<f64>,
    c: Vec<f64>,
    c_tilde: Vec<f64>,
    slope: Vec<f64>,
    slope_tilde: Vec<f64>,
    upstream: Vec<f64>,
}

fn batch(seed: u64) -> Batch {
    let mut rng = rng(seed);
    let normal = |n: usize, rng: &mut _| {
        let mut x = vec![0.0; n];
        noise::fill_normal(rng, &mut x);
        x
    };
    let (logits, f, upstream) = (normal(B * K, &mut rng), normal(B, &mut rng), normal(B * K, &mut rng));
    let (mut u, mut v) = (vec![0.0; B * K], vec![0.0; B * K]);
    noise::fill_uniform(&mut rng, &mut u);
    noise::fill_uniform(&mut rng, &mut v);
    let empty = || vec![0.0; B * K];
    let (mut log_probs, mut probs, mut z, mut b, mut score) =
        (empty(), empty(), empty(), vec![0; B], empty());
    let (mut z_tilde, mut w, mut w_coupled) = (empty(), empty(), empty());
    categorical::log_softmax(&logits, K, &mut log_probs);
    categorical::probabilities(&log_probs, &mut probs);
    categorical::relaxed_sample(&log_probs, &u, &mut z);
    categorical::hard_sample(&z, K, &mut b);
    categorical::score(&probs, &b, &mut score);
    categorical::conditional_independent(&log_probs, &b, &v, &mut z_tilde, &mut w);
    categorical::conditional_coupled(&z, &b, &mut w_coupled);
    let (mut c, mut c_tilde, mut slope, mut slope_tilde) = (vec![0.0; B], vec![0.0; B], empty(), empty());
    wavy(&z, K, &mut c, &mut slope);
    wavy(&z_tilde, K, &mut c_tilde, &mut slope_tilde);
    Batch { f, probs, score, z, w, w_coupled, c, c_tilde, slope, slope_tilde, upstream }
}

impl Batch {
    fn node(&self) -> Node<'_, f64> {
        Node::categorical(&self.score, &self.w, &self.probs)
    }
    fn coupled(&self) -> Node<'_, f64> {
        Node::categorical(&self.score, &self.w_coupled, &self.probs)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn a_constant_control_variate_is_a_baseline_bit_for_bit() {
    let batch = batch(1);
    let (mut g, mut coupled, mut reference) = (vec![0.0; B * K], vec![0.0; B * K], vec![0.0; B * K]);
    for k in [0.0, 1.7] {
        relax(&batch.node(), &batch.f, &[k; B], &[0.0; B * K], &[0.0; B * K], &mut g);
        relax_coupled(&batch.coupled(), &batch.f, &[k; B], &[0.0; B * K], &mut coupled);
        reinforce(&batch.score, &batch.f, Baseline::Constant(k), &mut reference);
        assert_eq!(g, reference);
        assert_eq!(coupled, reference);
    }
    reinforce(&batch.score, &batch.f, Baseline::None, &mut g);
    reinforce(&batch.score, &batch.f, Baseline::Constant(0.0), &mut reference);
    assert_eq!(g, reference);
}

#[test]
fn relax_is_reinforce_minus_its_correction() {
    let batch = batch(2);
    let empty = || vec![0.0; B * K];
    let (mut g, mut a, mut b, mut combined) = (empty(), empty(), empty(), empty());
    reinforce(&batch.score, &batch.f, Baseline::None, &mut a);
    relax(&batch.node(), &batch.f, &batch.c_tilde, &batch.slope, &batch.slope_tilde, &mut g);
    correction(&batch.node(), &batch.c_tilde, &batch.slope, &batch.slope_tilde, &mut b);
    combine(&a, &b, 1.0, &mut combined);
    g.iter().zip(&combined).for_each(|(&g, &c)| close(g, c, 1e-14));
    relax_coupled(&batch.coupled(), &batch.f, &batch.c, &batch.slope, &mut g);
    correction_coupled(&batch.coupled(), &batch.c, &batch.slope, &mut b);
    combine(&a, &b, 1.0, &mut combined);
    g.iter().zip(&combined).for_each(|(&g, &c)| close(g, c, 1e-14));
}

/// REBAR is RELAX with c = η·h: the gain form and the scaled control variate agree.
#[test]
fn a_scaled_control_variate_is_a_gain() {
    let (batch, eta) = (batch(3), 0.6);
    let empty = || vec![0.0; B * K];
    let scaled = |x: &[f64]| x.iter().map(|x| eta * x).collect::<Vec<_>>();
    let (mut g, mut a, mut b, mut combined) = (empty(), empty(), empty(), empty());
    let (c, s, st) = (scaled(&batch.c_tilde), scaled(&batch.slope), scaled(&batch.slope_tilde));
    relax(&batch.node(), &batch.f, &c, &s, &st, &mut g);
    reinforce(&batch.score, &batch.f, Baseline::None, &mut a);
    correction(&batch.node(), &batch.c_tilde, &batch.slope, &batch.slope_tilde, &mut b);
    combine(&a, &b, eta, &mut combined);
    g.iter().zip(&combined).for_each(|(&g, &c)| close(g, c, 1e-14));
}

/// ĝ is linear in what c returns, so q·(ĝ(c) − ĝ(0)) = α·c(z̃) + β₁·∇c(z) + β₂·∇c(z̃) to rounding.
#[test]
fn adjoints_are_adjoint() {
    let batch = batch(4);
    let empty = || vec![0.0; B * K];
    let (mut b, mut alpha, mut beta, mut beta_tilde) = (empty(), vec![0.0; B], empty(), empty());
    correction(&batch.node(), &batch.c_tilde, &batch.slope, &batch.slope_tilde, &mut b);
    relax_adjoint(&batch.node(), &batch.upstream, &mut alpha, &mut beta, &mut beta_tilde);
    let right = dot(&alpha, &batch.c_tilde) + dot(&beta, &batch.slope) + dot(&beta_tilde, &batch.slope_tilde);
    close(-dot(&batch.upstream, &b), right, 1e-12);

    correction_coupled(&batch.coupled(), &batch.c, &batch.slope, &mut b);
    relax_coupled_adjoint(&batch.coupled(), &batch.upstream, &mut alpha, &mut beta);
    close(-dot(&batch.upstream, &b), dot(&alpha, &batch.c) + dot(&beta, &batch.slope), 1e-12);

    let node = Node::bernoulli(&batch.score, &batch.w);
    correction(&node, &batch.c_tilde, &batch.slope, &batch.slope_tilde, &mut b);
    relax_adjoint(&node, &batch.upstream, &mut alpha, &mut beta, &mut beta_tilde);
    let right = dot(&alpha, &batch.c_tilde) + dot(&beta, &batch.slope) + dot(&beta_tilde, &batch.slope_tilde);
    close(-dot(&batch.upstream, &b), right, 1e-12);

    let node = GaussianNode { eps: &batch.z, std: &batch.probs };
    let (mut mean, mut log_std) = (empty(), empty());
    lax_correction(&node, &batch.c, &batch.slope, &mut mean, &mut log_std);
    lax_adjoint(&node, &batch.upstream, &batch.score, &mut alpha, &mut beta);
    let left = -dot(&batch.upstream, &mean) - dot(&batch.score, &log_std);
    let right = dot(&alpha, &batch.c) + dot(&beta, &batch.slope);
    close(left, right, 1e-10 * left.abs().max(1.0));
    let (mut lax_mean, mut lax_log_std, mut a_mean) = (empty(), empty(), empty());
    lax(&node, &batch.f, &batch.c, &batch.slope, &mut lax_mean, &mut lax_log_std);
    let score_mean: Vec<f64> = batch.z.iter().zip(&batch.probs).map(|(e, s)| e / s).collect();
    reinforce(&score_mean, &batch.f, Baseline::None, &mut a_mean);
    for i in 0..B * K {
        close(lax_mean[i], a_mean[i] - mean[i], 1e-9 * (1.0 + mean[i].abs()));
    }
}

/// A 2-way choice and a Bernoulli variable are one thing: logits (0, a), c of z₁ − z₀.
#[test]
fn two_way_categorical_is_bernoulli() {
    let mut rng = rng(5);
    for a in [-1.3, 0.0, 0.8] {
        for _ in 0..200 {
            let (mut u, mut v, mut f) = ([0.0; 2], [0.0; 2], [0.0]);
            noise::fill_uniform(&mut rng, &mut u);
            noise::fill_uniform(&mut rng, &mut v);
            noise::fill_normal(&mut rng, &mut f);
            let (mut log_p, mut p, mut z, mut b, mut s) = ([0.0; 2], [0.0; 2], [0.0; 2], [0], [0.0; 2]);
            categorical::log_softmax(&[0.0, a], 2, &mut log_p);
            categorical::probabilities(&log_p, &mut p);
            categorical::relaxed_sample(&log_p, &u, &mut z);
            categorical::hard_sample(&z, 2, &mut b);
            categorical::score(&p, &b, &mut s);
            let (mut zt, mut w) = ([0.0; 2], [0.0; 2]);
            categorical::conditional_independent(&log_p, &b, &v, &mut zt, &mut w);

            // The same noise for the Bernoulli variable: logit u = Gumbel₁ − Gumbel₀.
            let matched = |u: [f64; 2]| [(u[0].ln() / u[1].ln()).ln().sigmoid()];
            let (mut z1, mut b1, mut s1, mut zt1, mut w1) = ([0.0], [0.0], [0.0], [0.0], [0.0]);
            bernoulli::relaxed_sample(&[a], &matched(u), &mut z1);
            bernoulli::hard_sample(&z1, &mut b1);
            bernoulli::score(&[a], &b1, &mut s1);
            bernoulli::conditional_independent(&[a], &b1, &matched(v), &mut zt1, &mut w1);
            assert_eq!(f64::from(b[0]), b1[0]);
            close(z[1] - z[0], z1[0], 1e-11);
            close(zt[1] - zt[0], zt1[0], 1e-11);

            let (c, slope, slope_tilde) = ([zt1[0].sin()], z1[0].cos(), zt1[0].cos());
            let (mut g, mut g1) = ([0.0; 2], [0.0]);
            let node = Node::categorical(&s, &w, &p);
            relax(&node, &f, &c, &[-slope, slope], &[-slope_tilde, slope_tilde], &mut g);
            relax(&Node::bernoulli(&s1, &w1), &f, &c, &[slope], &[slope_tilde], &mut g1);
            close(g[1], g1[0], 1e-11);
            close(g[0], -g1[0], 1e-11);
        }
    }
}

#[test]
fn conditional_means_by_quadrature() {
    for a in [-1.1_f64, 0.4, 2.0] {
        let theta = a.sigmoid();
        let z = |u: f64| {
            let mut z = [0.0];
            bernoulli::relaxed_sample(&[a], &[u], &mut z);
            z[0]
        };
        let above: f64 = nodes(1.0 - theta, 1.0).iter().map(|&(u, w)| w * z(u)).sum();
        let below: f64 = nodes(0.0, 1.0 - theta).iter().map(|&(u, w)| w * z(u)).sum();
        close(above, a.softplus(), 1e-10); // E[z | b=1]·θ
        close(below, -(-a).softplus(), 1e-10); // E[z | b=0]·(1−θ)
        for (b, mean) in [(1.0, a.softplus() / theta), (0.0, -(-a).softplus() / (1.0 - theta))] {
            let tilde = |v: f64| {
                let (mut z, mut w) = ([0.0], [0.0]);
                bernoulli::conditional_independent(&[a], &[b], &[v], &mut z, &mut w);
                z[0]
            };
            close(nodes(0.0, 1.0).iter().map(|&(v, w)| w * tilde(v)).sum(), mean, 1e-10);
        }
    }
    let gumbel = |v: f64| {
        let (mut z, mut w) = ([0.0; 2], [0.0; 2]);
        categorical::conditional_independent(
            &[-0.5, -0.932_752_129_567_188_6],
            &[1],
            &[0.5, v],
            &mut z,
            &mut w,
        );
        z[1]
    };
    close(nodes(0.0, 1.0).iter().map(|&(v, w)| w * gumbel(v)).sum(), 0.577_215_664_901_532_9, 1e-10);
}

/// E[g(ĝ)] over all noise of one Bernoulli variable with θ = ½ and f = (b − t)², REBAR at gain η and temperature λ.
fn toy_rebar(t: f64, lambda: f64, eta: f64, coupled: bool) -> [f64; 3] {
    let f = |x: f64| (x - t) * (x - t);
    let sigma = Relaxation { link: Link::Sigmoid, width: 1, temperature: lambda };
    // h, ∇h and the Hessian-vector product of h = f∘σ_λ
    let h = |z: f64| {
        let (mut x, mut slope) = ([0.0], [0.0]);
        sigma.apply(&[z], &mut x);
        sigma.multiply_jacobian(&x, &[2.0 * (x[0] - t)], &mut slope);
        (f(x[0]), slope)
    };
    let hessian_vector = |z: f64, beta: &[f64]| {
        let (mut x, mut tangent, mut out) = ([0.0], [0.0], [0.0]);
        sigma.apply(&[z], &mut x);
        sigma.multiply_jacobian(&x, beta, &mut tangent);
        sigma.hessian_vector(&x, &tangent, &[2.0 * (x[0] - t)], &[2.0 * tangent[0]], &mut out);
        out
    };
    let mut moments = [0.0; 3]; // E ĝ, E ĝ², dE ĝ²/dlog λ
    for (low, high) in [(0.0, 0.5), (0.5, 1.0)] {
        for (u, weight_u) in nodes(low, high) {
            let (mut z, mut b, mut s) = ([0.0], [0.0], [0.0]);
            bernoulli::relaxed_sample(&[0.0], &[u], &mut z);
            bernoulli::hard_sample(&z, &mut b);
            bernoulli::score(&[0.0], &b, &mut s);
            let fb = [f(b[0])];
            let (value, slope) = h(z[0]);
            let scaled = [eta * slope[0]];
            let (mut w, mut g, mut alpha, mut beta) = ([0.0], [0.0], [0.0], [0.0]);
            if coupled {
                bernoulli::conditional_coupled(&[0.0], &z, &b, &mut w);
                let node = Node::bernoulli(&s, &w);
                relax_coupled(&node, &fb, &[eta * value], &scaled, &mut g);
                relax_coupled_adjoint(&node, &[2.0 * g[0]], &mut alpha, &mut beta);
                let d = log_temperature_gradient(&z, &alpha, &beta, &slope, &hessian_vector(z[0], &beta));
                let terms = [g[0], g[0] * g[0], eta * d];
                moments.iter_mut().zip(terms).for_each(|(m, x)| *m += weight_u * x);
            } else {
                for (v, weight_v) in nodes(0.0, 1.0) {
                    let (mut zt, mut beta_tilde) = ([0.0], [0.0]);
                    bernoulli::conditional_independent(&[0.0], &b, &[v], &mut zt, &mut w);
                    let (value, slope_tilde) = h(zt[0]);
                    let node = Node::bernoulli(&s, &w);
                    relax(&node, &fb, &[eta * value], &scaled, &[eta * slope_tilde[0]], &mut g);
                    relax_adjoint(&node, &[2.0 * g[0]], &mut alpha, &mut beta, &mut beta_tilde);
                    let hv = hessian_vector(zt[0], &beta_tilde);
                    let d = log_temperature_gradient(&zt, &alpha, &beta_tilde, &slope_tilde, &hv)
                        + log_temperature_gradient(&z, &[0.0], &beta, &slope, &hessian_vector(z[0], &beta));
                    let terms = [g[0], g[0] * g[0], eta * d];
                    moments.iter_mut().zip(terms).for_each(|(m, x)| *m += weight_u * weight_v * x);
                }
            }
        }
    }
    moments
}

#[test]
fn rebar_on_the_toy_problem() {
    for (lambda, independent, coupled) in [(0.5, 0.022_653_1, 0.024_067_1), (1.0, 0.018_489_1, 0.017_916_7)] {
        for (mode, expected) in [(false, independent), (true, coupled)] {
            let [mean, square, d_log_lambda] = toy_rebar(0.45, lambda, 1.0, mode);
            close(mean, 0.025, 1e-10);
            close(square - mean * mean, expected, 5e-8);
            if lambda == 0.5 {
                close(d_log_lambda, if mode { -0.014_051_70 } else { -0.010_686_91 }, 5e-9);
            }
            // and by differences
            let step: f64 = 1e-4;
            let [_, up, _] = toy_rebar(0.45, lambda * step.exp(), 1.0, mode);
            let [_, down, _] = toy_rebar(0.45, lambda * (-step).exp(), 1.0, mode);
            close(d_log_lambda, (up - down) / (2.0 * step), 1e-8);
        }
    }
}

#[test]
fn reinforce_on_the_toy_problem() {
    for (t, gradient, variance) in
        [(0.45, 0.025, 0.015_939_062_5), (0.49, 0.005, 0.015_637_502_5), (0.499, 0.0005, 0.015_625_125)]
    {
        let f = |b: f64| (b - t) * (b - t);
        close(exact::bernoulli(&[0.0], |b| f(b[0])).unwrap().gradient[0], gradient, 1e-15);
        let mut g = [0.0; 2];
        reinforce(&[-0.5, 0.5], &[f(0.0), f(1.0)], Baseline::None, &mut g);
        close((g[0] * g[0] + g[1] * g[1]) / 2.0 - gradient * gradient, variance, 1e-9);
    }
}

/// One Bernoulli variable and c = (1−θ)f(1) + θf(0): every single estimate is the exact gradient.
#[test]
fn the_perfect_baseline_of_one_bernoulli_has_no_variance() {
    for a in [-2.0_f64, 0.3] {
        let (theta, f1, f0) = (a.sigmoid(), 1.7, -0.4);
        let c = (1.0 - theta) * f1 + theta * f0;
        let (mut s, mut g) = ([0.0; 2], [0.0; 2]);
        bernoulli::score(&[a, a], &[1.0, 0.0], &mut s);
        relax(&Node::bernoulli(&s, &[0.3, 0.2]), &[f1, f0], &[c; 2], &[0.0; 2], &[0.0; 2], &mut g);
        let exact = exact::bernoulli(&[a], |b| if b[0] > 0.0 { f1 } else { f0 }).unwrap();
        g.iter().for_each(|&g| close(g, exact.gradient[0], 1e-15));
    }
}

#[test]
fn reinforce_on_a_three_way_choice() {
    let (logits, f) = ([0.5, -0.2, 0.1], [1.0, -2.0, 0.5]);
    let exact = exact::categorical(&logits, |b| f[b]);
    let expected = [0.388_653_854_9, -0.494_504_122_4, 0.105_850_267_4];
    exact.gradient.iter().zip(expected).for_each(|(&g, e)| close(g, e, 1e-10));
    let (mut log_p, mut p, mut score, mut g) = ([0.0; 3], [0.0; 3], [0.0; 9], [0.0; 9]);
    categorical::log_softmax(&logits, 3, &mut log_p);
    categorical::probabilities(&log_p, &mut p);
    categorical::score(&p.repeat(3), &[0, 1, 2], &mut score);
    reinforce(&score, &f, Baseline::None, &mut g);
    for (i, variance) in [0.194_472_3, 0.328_433_5, 0.157_567_0].into_iter().enumerate() {
        let square: f64 = (0..3).map(|b| p[b] * g[3 * b + i] * g[3 * b + i]).sum();
        close(square - exact.gradient[i] * exact.gradient[i], variance, 5e-8);
    }
}

#[test]
fn reinforce_on_three_bernoullis() {
    let logits = [0.3, -0.7, 1.1];
    let f = |b: &[f64]| (b[0] + 2.0 * b[1] - 3.0 * b[2] + 1.5 * b[0] * b[1] * b[2] - 0.4).powi(2);
    let exact = exact::bernoulli(&logits, f).unwrap();
    let expected = [-0.663_195_591_5, -0.854_219_976_8, 0.781_657_591_1];
    exact.gradient.iter().zip(expected).for_each(|(&g, e)| close(g, e, 1e-10));
    for (i, variance) in [11.3433, 4.8122, 3.1640].into_iter().enumerate() {
        let square = exact::bernoulli(&logits, |b| {
            let (mut s, mut g) = ([0.0; 3], [0.0; 3]);
            bernoulli::score(&logits, b, &mut s);
            reinforce(&s, &[f(b)], Baseline::None, &mut g);
            g[i] * g[i]
        });
        close(square.unwrap().value - exact.gradient[i] * exact.gradient[i], variance, 5e-5);
    }
}

/// Gaussian, f = (x−k)², m = μ−k = σ = 1.
#[test]
fn lax_on_a_parabola() {
    let estimate = |eps: f64, scale: f64, shift: f64| {
        let (d, mut mean, mut log_std) = (1.0 + eps, [0.0], [0.0]);
        let node = GaussianNode { eps: &[eps], std: &[1.0] };
        lax(&node, &[d * d], &[scale * d * d + shift], &[scale * 2.0 * d], &mut mean, &mut log_std);
        (mean[0], log_std[0])
    };
    let cases = [(0.0, 0.0, 30.0), (1.0, 0.0, 4.0), (11.0 / 9.0, 0.0, 28.0 / 9.0), (1.0, 2.0, 0.0)];
    for (scale, shift, variance) in cases {
        let first = normal_expectation(|e| estimate(e, scale, shift).0);
        close(first, 2.0, 1e-10);
        close(normal_expectation(|e| (estimate(e, scale, shift).0 - first).powi(2)), variance, 1e-9);
        close(normal_expectation(|e| estimate(e, scale, shift).1), 2.0, 1e-10); // ∂E[f]/∂log σ = 2σ²
    }
}

/// dL/dη of REBAR vanishes where E ĝ² is least along η.
#[test]
fn the_gain_gradient_is_the_slope_along_the_gain() {
    let batch = batch(6);
    let empty = || vec![0.0; B * K];
    let (mut a, mut b, mut g) = (empty(), empty(), empty());
    reinforce(&batch.score, &batch.f, Baseline::None, &mut a);
    correction(&batch.node(), &batch.c_tilde, &batch.slope, &batch.slope_tilde, &mut b);
    let mut square = |eta: f64| {
        combine(&a, &b, eta, &mut g);
        (dot(&g, &g), g.iter().map(|g| 2.0 * g).collect::<Vec<_>>())
    };
    let ((_, q), (up, _), (down, _)) = (square(0.4), square(0.401), square(0.399));
    close(gain_gradient(&q, &b), (up - down) / 0.002, 1e-8);
}
