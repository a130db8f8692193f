//! The gradients that the agents' optimisers are given, against an oracle in double precision: a network, an estimator
//! and objectives written down the obvious way, differentiated by finite differences.

use crate::common::{
    Aim, Net, Task, agent, array, choices, finite_differences, fit, gradient, improve, log_probs, numbers,
    relative_error, rewound, settings, with,
};
use relax_agents::compute::SHARD_ROWS;
use relax_agents::{Agent, Rollout, role};
use relax_envs::{EnvRng, Space};
use relax_nn::StateDict;

const SEED: u64 = 5;
const UPDATES: u64 = 3;
const ENTROPY: f64 = 0.03;
const HIDDEN: [usize; 2] = [5, 4];
const LEARNER: &str =
    "gamma = 0.9\nlambda = 0.8\nentropy = 0.03\nmax_grad_norm = 0\ncritic_max_grad_norm = 0\n";

/// Everything about one batch that the oracle needs, in double precision.
struct Oracle {
    policy: Net,
    critic: Net,
    residual: Option<Net>,
    gaussian: bool,
    pure: bool,
    coupled: bool,
    gain: f64,
    rows: Vec<Row>,
}

struct Row {
    x: Vec<f64>,
    action: usize,
    value: f64,
    noise: Vec<f64>,
    /// Fresh noise behind an independent z̃.
    v: Vec<f64>,
    advantage: f64,
    lambda_return: f64,
}

impl Oracle {
    fn new(state: &StateDict, batch: &Rollout, gaussian: bool, text: &str) -> Self {
        let dim = batch.observation_dim;
        let k = batch.noise_dim;
        let critic = Net::new(dim, &HIDDEN, 1, &array(state, "critic.parameters"));
        let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let x: Vec<Vec<f64>> = batch.observations.chunks(dim).map(wide).collect();
        let values: Vec<f64> = x.iter().map(|x| critic.forward(x)[0]).collect();
        // λ-returns slot by slot: R̂_t = r + γ((1 − λ)V' + λR̂_{t+1}), 0 after the end.
        let (gamma, lambda) = (0.9, 0.8);
        let mut returns = vec![0.0; batch.rows()];
        let mut later = vec![(0.0, 0.0); batch.slots()];
        for row in (0..batch.rows()).rev() {
            let (value, lambda_return) = later[batch.slot[row] as usize];
            let beyond =
                if batch.terminated[row] { 0.0 } else { (1.0 - lambda) * value + lambda * lambda_return };
            returns[row] = f64::from(batch.rewards[row]) + gamma * beyond;
            later[batch.slot[row] as usize] = (values[row], returns[row]);
        }
        let mut streams: Vec<EnvRng> = (0..batch.rows().div_ceil(SHARD_ROWS))
            .map(|shard| {
                EnvRng::from_seed_sequence(SEED, &[role::CONDITIONAL, UPDATES as u32, 0, shard as u32])
            })
            .collect();
        let rows = (0..batch.rows()).map(|row| Row {
            x: x[row].clone(),
            action: if gaussian { 0 } else { choices(batch)[row] as usize },
            value: if gaussian { f64::from(numbers(batch)[row]) } else { 0.0 },
            noise: wide(&batch.noise[row * k..(row + 1) * k]),
            v: (0..k).map(|_| f64::from(streams[row / SHARD_ROWS].uniform_open_f32())).collect(),
            advantage: returns[row] - values[row],
            lambda_return: returns[row],
        });
        let rows = rows.collect();
        let residual = state
            .get("control_variate.parameters")
            .is_ok()
            .then(|| Net::new(dim + k, &HIDDEN, 1, &array(state, "control_variate.parameters")));
        Self {
            policy: Net::new(dim, &HIDDEN, k, &array(state, "policy.parameters")),
            critic,
            residual,
            gaussian,
            pure: text.contains("pure"),
            coupled: !text.contains("independent"),
            gain: if text.contains("gain = 0.7") { 0.7 } else { 1.0 },
            rows,
        }
    }

    fn log_std(&self) -> f64 {
        self.policy.parameters[self.policy.parameters.len() - 1]
    }

    /// ĝ at the distribution's parameters.
    fn estimate(&self, row: &Row, residual: Option<&Net>) -> Vec<f64> {
        let f = if self.pure { row.lambda_return } else { row.advantage };
        let output = self.policy.forward(&row.x);
        let c = |z: &[f64]| match residual {
            Some(net) => {
                let (value, gradient) = net.value_and_gradient(&[&row.x, z].concat());
                let scaled = gradient[row.x.len()..].iter().map(|g| self.gain * g).collect();
                (self.gain * value, scaled)
            }
            None => (0.0, vec![0.0; z.len()]),
        };
        if self.gaussian {
            let std = self.log_std().exp();
            let eps = (row.value - output[0]) / std;
            let (c, slope) = c(&[row.value]);
            return vec![eps / std * (f - c) + slope[0], (eps * eps - 1.0) * (f - c) + slope[0] * std * eps];
        }
        let log_p = log_probs(&output);
        let p: Vec<f64> = log_p.iter().map(|l| l.exp()).collect();
        let b = row.action;
        let z: Vec<f64> = log_p.iter().zip(&row.noise).map(|(l, u)| l - (-u.ln()).ln()).collect();
        let (z_tilde, w): (Vec<f64>, Vec<f64>) = if self.coupled {
            (z.clone(), z.iter().map(|zi| 1.0 - (zi - z[b]).exp()).collect())
        } else {
            let e: Vec<f64> = row.v.iter().map(|v| -v.ln()).collect();
            (0..p.len())
                .map(|i| match i == b {
                    true => (-e[b].ln(), 0.0),
                    false => (-(e[i] / p[i] + e[b]).ln(), (e[i] / p[i]) / (e[i] / p[i] + e[b])),
                })
                .unzip()
        };
        let (value, at_z_tilde) = c(&z_tilde);
        let at_z = if self.coupled { at_z_tilde.clone() } else { c(&z).1 };
        let x: Vec<f64> = (0..p.len()).map(|i| at_z[i] - w[i] * at_z_tilde[i]).collect();
        let sum: f64 = x.iter().sum();
        let score = |i: usize| f64::from(u8::from(i == b)) - p[i];
        (0..p.len()).map(|i| score(i) * (f - value) + x[i] - p[i] * sum).collect()
    }

    /// −(1/B) Σ ĝ·(parameters of the distribution) with ĝ held fixed, minus the entropy bonus, differentiated.
    fn policy_gradient(&self, residual: Option<&Net>, entropy: f64) -> Vec<f64> {
        let estimates: Vec<Vec<f64>> = self.rows.iter().map(|row| self.estimate(row, residual)).collect();
        finite_differences(&self.policy.parameters, |parameters| {
            let net = Net { parameters: parameters.to_vec(), ..self.policy.clone() };
            let log_std = parameters[parameters.len() - 1];
            let mut total = 0.0;
            for (row, g) in self.rows.iter().zip(&estimates) {
                let output = net.forward(&row.x);
                total += g.iter().zip(&output).map(|(g, l)| g * l).sum::<f64>();
                if self.gaussian {
                    total += g[1] * log_std + entropy * log_std;
                } else {
                    let log_p = log_probs(&output);
                    total -= entropy * log_p.iter().map(|l| l.exp() * l).sum::<f64>();
                }
            }
            -total / self.rows.len() as f64
        })
    }

    /// The same gradient by the chain rule, which is quick enough to be differentiated once more.
    fn weight_gradient(&self, residual: &Net) -> Vec<f64> {
        let mut gradient = vec![0.0; self.policy.parameters.len()];
        let last = gradient.len() - 1;
        for row in &self.rows {
            let g = self.estimate(row, Some(residual));
            let k = if self.gaussian { 1 } else { g.len() };
            self.policy.reverse(&row.x, &g[..k], &mut gradient);
            if self.gaussian {
                gradient[last] += g[1];
            }
        }
        gradient.iter().map(|x| -x / self.rows.len() as f64).collect()
    }

    /// The variance objective at the residual `net`.
    fn objective(&self, net: &Net, weights: bool) -> f64 {
        if weights {
            return self.weight_gradient(net).iter().map(|x| x * x).sum();
        }
        let squares = self.rows.iter().map(|row| self.estimate(row, Some(net)));
        squares.map(|g| g.iter().map(|x| x * x).sum::<f64>()).sum::<f64>() / self.rows.len() as f64
    }
}

/// An agent with weights far from their start, and a batch of it of more than one shard.
fn scene(text: &str, learner: &str, gaussian: bool) -> (Box<dyn Agent>, StateDict, Rollout) {
    let actions = if gaussian { Space::uniform_box(-9.0, 9.0, &[1]) } else { Space::discrete(3) };
    let mut agent = agent(
        &settings(&format!("hidden = [5, 4]\n{text}"), &format!("{LEARNER}{learner}")),
        2,
        &actions,
        SEED,
    );
    let mut state = rewound(&agent.state(), UPDATES);
    let mut rng = EnvRng::from_seed(8);
    for network in ["policy", "critic", "control_variate"] {
        let name = format!("{network}.parameters");
        if state.get(&name).is_ok() {
            let fresh: Vec<f32> =
                (0..array(&state, &name).len()).map(|_| 0.6 * rng.standard_normal() as f32).collect();
            state = with(&state, &name, &fresh);
        }
    }
    agent.restore(&state).unwrap();
    let policy = agent.acting_policy();
    let batch = if gaussian { Aim::roll(&policy, 600, &mut rng) } else { Task::roll(&policy, 300, &mut rng) };
    assert!(batch.rows() > SHARD_ROWS);
    (agent, state, batch)
}

const VARIANTS: [&str; 10] = [
    "kind = 'a2c'",
    "kind = 'relax-a2c'\ngain = 1\nnoise = 'independent'",
    "kind = 'relax-a2c'\ngain = 1\nnoise = 'coupled'",
    "kind = 'relax-a2c'\ngain = 0.7\nnoise = 'independent'",
    "kind = 'relax-a2c'\ngain = 0.7\nnoise = 'coupled'",
    "kind = 'relax-a2c'\ngain = 1\ncontrol_variate = 'pure'\nnoise = 'independent'",
    "kind = 'relax-a2c'\ngain = 1\ncontrol_variate = 'pure'\nnoise = 'coupled'",
    "kind = 'relax-a2c'\ngain = 0.7\nnoise = 'independent'\nvariance_objective = 'weights'",
    "kind = 'relax-a2c'\ngain = 1\nnoise = 'coupled'\nvariance_objective = 'weights'",
    "kind = 'relax-a2c'\ngain = 1\ncontrol_variate = 'pure'\nnoise = 'coupled'\nvariance_objective = 'weights'",
];

/// The variants that differ: a Gaussian's z is its action, whatever the noise.
fn variants(gaussian: bool) -> impl Iterator<Item = &'static str> {
    VARIANTS.into_iter().filter(move |text| !gaussian || !text.contains("independent"))
}

#[test]
fn the_policy_gradient() {
    for gaussian in [false, true] {
        for text in variants(gaussian) {
            let (mut agent, state, batch) = scene(text, "", gaussian);
            let metrics = improve(agent.as_mut(), &batch);
            let oracle = Oracle::new(&state, &batch, gaussian, text);
            let expected = oracle.policy_gradient(oracle.residual.as_ref(), ENTROPY);
            let found = gradient(agent.as_ref(), "policy");
            let error = relative_error(&found, &expected);
            println!("gaussian {gaussian}, {text:?}: relative error {error:.1e}");
            assert!(error < 1e-5, "gaussian {gaussian}, {text}: {error:e}\n{found:?}\n{expected:?}");

            let norm = expected.iter().map(|x| x * x).sum::<f64>().sqrt();
            close(metrics.policy_gradient_norm, norm, "norm");
            let squares = |residual: Option<&Net>, pure: bool| {
                let plain = Oracle { pure, residual: None, ..Oracle::new(&state, &batch, gaussian, text) };
                let rows = plain.rows.iter().map(|row| plain.estimate(row, residual));
                rows.map(|g| g.iter().map(|x| x * x).sum::<f64>()).sum::<f64>() / batch.rows() as f64
            };
            close(metrics.squared_norm, squares(oracle.residual.as_ref(), oracle.pure), "squared norm");
            close(metrics.squared_norm_a2c, squares(None, false), "squared norm of A2C");
        }
    }
}

#[track_caller]
fn close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() < 1e-4 * expected.abs(), "{what}: {found} should be {expected}");
}

/// The gradients of the critics, in the first epoch and in the second, where the weights have moved.
#[test]
fn the_critics_gradients() {
    for gaussian in [false, true] {
        for (i, text) in variants(gaussian).skip(1).enumerate() {
            let learner = |epochs: u32| {
                format!(
                    "value_epochs = {epochs}\ncontrol_variate_epochs = {epochs}\n\
                     value_learning_rate = 1e-2\ncontrol_variate_learning_rate = 1e-2"
                )
            };
            let (mut one, state, batch) = scene(text, &learner(1), gaussian);
            let (mut two, ..) = scene(text, &learner(2), gaussian);
            let mut metrics = improve(one.as_mut(), &batch);
            improve(two.as_mut(), &batch);
            let fitted = fit(one.as_mut(), &batch);
            fit(two.as_mut(), &batch);
            (metrics.value_loss, metrics.control_variate_loss) =
                (fitted.value_loss, fitted.control_variate_loss);

            let oracle = Oracle::new(&state, &batch, gaussian, text);
            let weights = text.contains("weights");
            for (network, start) in
                [("critic", oracle.critic.clone()), ("control_variate", oracle.residual.clone().unwrap())]
            {
                // One critic is like another.
                if network == "critic" && i > 0 {
                    continue;
                }
                let loss = |net: &Net| match network {
                    "critic" => {
                        let miss = oracle.rows.iter().map(|row| net.forward(&row.x)[0] - row.lambda_return);
                        0.5 * miss.map(|e| e * e).sum::<f64>() / oracle.rows.len() as f64
                    }
                    _ => oracle.objective(net, weights),
                };
                // Every third weight, which is some of every array: the oracle is slow.
                let thin = |x: &[f64]| x.iter().copied().skip(1).step_by(3).collect::<Vec<f64>>();
                let expected = |net: &Net| {
                    finite_differences(&thin(&net.parameters), |some| {
                        let mut net = net.clone();
                        net.parameters.iter_mut().skip(1).step_by(3).zip(some).for_each(|(x, y)| *x = *y);
                        loss(&net)
                    })
                };
                let first = gradient(one.as_ref(), network);
                let error = relative_error(&thin(&first), &expected(&start));
                // m₂ = 0.9 m₁ + 0.1 g₂, at the weights that the first epoch led to.
                let moved: Vec<f64> = array(&one.state(), &format!("{network}.parameters"))
                    .iter()
                    .map(|&x| f64::from(x))
                    .collect();
                let second: Vec<f64> =
                    gradient(two.as_ref(), network).iter().zip(&first).map(|(m, g)| m - 0.9 * g).collect();
                let later =
                    relative_error(&thin(&second), &expected(&Net { parameters: moved, ..start.clone() }));
                println!(
                    "gaussian {gaussian}, {text:?}, {network}: relative errors {error:.1e}, {later:.1e}"
                );
                assert!(error < 2e-5 && later < 1e-4, "{gaussian} {text} {network}: {error:e}, {later:e}");
                let reported =
                    if network == "critic" { metrics.value_loss } else { metrics.control_variate_loss };
                close(reported, loss(&start), network);
            }
        }
    }
}
