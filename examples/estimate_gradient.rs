//! RELAX on a black box, without any reinforcement learning: the gradient of E[f(b)] for three Bernoulli variables.
//!
//! `cargo run --release --example estimate_gradient`
//!
//! f can only be called, and only at zeros and ones. REINFORCE estimates the gradient from such calls alone; RELAX lets a
//! small network c learn what f looks like and takes off the noise that c explains: without bias, however wrong c is.

use relax_envs::EnvRng; // any generator of `rand` will do
use relax_estimators::certify::Moments;
use relax_estimators::{
    Baseline, Node, bernoulli, exact, noise, reinforce, relax, relax_adjoint, squared_norm_upstream,
};
use relax_nn::{Activation, MlpShape, Optimizer, Rule, Workspace};

const K: usize = 3; // variables
const B: usize = 256; // samples at a time
const LOGITS: [f64; K] = [0.3, -0.7, 1.1];

/// The black box.
fn f(b: &[f64]) -> f64 {
    (b[0] + 2.0 * b[1] - 3.0 * b[2] + 1.5 * b[0] * b[1] * b[2] - 0.4).powi(2)
}

/// The control variate: a network with 16 hidden units from z to one number.
struct ControlVariate {
    shape: MlpShape,
    parameters: Vec<f64>,
    workspace: Workspace<f64>,
}

/// B estimates with both estimators, and the gradient of the mean of ‖ĝ‖² with respect to the control variate's parameters.
fn estimate(c: &mut ControlVariate, rng: &mut EnvRng) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let logits = LOGITS.repeat(B);
    let zeros = || vec![0.0; B * K];

    // 1. Sample: a relaxed z, the hard b that it rounds to, and another relaxed z̃ that rounds to the same b.
    let [mut u, mut v, mut b, mut score, mut w] = [(); 5].map(|()| zeros());
    noise::fill_uniform(rng, &mut u);
    noise::fill_uniform(rng, &mut v);
    let mut both = vec![0.0; 2 * B * K]; // z, then z̃: the network evaluates them together
    let (z, z_tilde) = both.split_at_mut(B * K);
    bernoulli::relaxed_sample(&logits, &u, z);
    bernoulli::hard_sample(z, &mut b);
    bernoulli::score(&logits, &b, &mut score);
    bernoulli::conditional_independent(&logits, &b, &v, z_tilde, &mut w);

    // 2. Ask the black box at b, and the control variate for its value and slope at z and z̃.
    let f: Vec<f64> = b.chunks(K).map(f).collect();
    let (mut value, mut slope) = (vec![0.0; 2 * B], vec![0.0; 2 * B * K]);
    c.shape.value_and_gradient(&c.parameters, &both, &mut c.workspace, &mut value, &mut slope);

    // 3. The two estimates: s·f and s·(f − c(z̃)) + ∇c(z) − w∘∇c(z̃).
    let node = Node::bernoulli(&score, &w);
    let (mut plain, mut relaxed) = (zeros(), zeros());
    reinforce(&score, &f, Baseline::None, &mut plain);
    relax(&node, &f, &value[B..], &slope[..B * K], &slope[B * K..], &mut relaxed);

    // 4. How to lower the variance: the mean of ‖ĝ‖² is E‖ĝ − E ĝ‖² + ‖E ĝ‖², and c cannot change the second term.
    let (mut q, mut alpha, mut beta) = (zeros(), vec![0.0; 2 * B], vec![0.0; 2 * B * K]);
    squared_norm_upstream(&relaxed, B, &mut q);
    let (beta_z, beta_z_tilde) = beta.split_at_mut(B * K);
    relax_adjoint(&node, &q, &mut alpha[B..], beta_z, beta_z_tilde); // c(z) itself is not in ĝ: its α stays 0
    let mut d = vec![0.0; c.parameters.len()];
    c.shape.parameter_gradient(&c.parameters, &both, &c.workspace, &alpha, &beta, &mut d, None);
    (plain, relaxed, d)
}

/// Mean and variance of 200 batches of estimates: REINFORCE's and RELAX's.
fn measure(c: &mut ControlVariate, rng: &mut EnvRng) -> (Moments, Moments) {
    let (mut plain, mut relaxed) = (Moments::new(K), Moments::new(K));
    for _ in 0..200 {
        let (p, r, _) = estimate(c, rng);
        plain.push(&p);
        relaxed.push(&r);
    }
    (plain, relaxed)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = EnvRng::from_seed(1);
    let shape = MlpShape::new(K, &[16], 1, Activation::Tanh);
    let parameters = shape.orthogonal(&mut rng, 1.0, 1.0);
    let mut c = ControlVariate { shape, parameters, workspace: Workspace::new() };
    let (plain, before) = measure(&mut c, &mut rng);
    let mut adam = Optimizer::new(Rule::ADAM, c.parameters.len());
    for _ in 0..2000 {
        let (_, _, d) = estimate(&mut c, &mut rng);
        adam.step(&mut c.parameters, &d, 0.01, 1.0);
    }
    let (_, after) = measure(&mut c, &mut rng);
    let exact = exact::bernoulli(&LOGITS, f)?; // by enumerating all eight outcomes, which is what f's user cannot do
    for (name, m) in [("REINFORCE", plain), ("RELAX, untrained", before), ("RELAX, trained", after)] {
        println!("{name}: n = {}, variance {:.2}", m.count(), m.variance().iter().sum::<f64>());
        for (i, (mean, error)) in m.mean().iter().zip(m.standard_error()).enumerate() {
            println!("  ∂E[f]/∂l{i} = {mean:8.4} ± {error:.4}   exact {:8.4}", exact.gradient[i]);
        }
    }
    Ok(())
}
