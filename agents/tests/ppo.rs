//! PPO: its first step is A2C's to the bit, and every later one climbs the clipped surrogate.

use crate::common::{
    Aim, Net, Task, agent, array, choices, finite_differences, gradient, improve, log_probs, numbers,
    relative_error, rewound, settings, with,
};
use relax_agents::certify::{AgentBug, AgentTarget, Combined, Problem};
use relax_agents::{ActingPolicy, ActionBuffer, Agent, Compute, Metrics, Rollout, RolloutShape, agent_spec};
use relax_envs::{EnvRng, Space};
use relax_estimators::certify::{Settings, check};

const SEED: u64 = 5;
const ENTROPY: f64 = 0.03;
const HIDDEN: [usize; 2] = [5, 4];
const CLIP: f64 = 0.1;
const LEARNER: &str = "gamma = 0.9\nlambda = 0.8\nentropy = 0.03\nmax_grad_norm = 0\nclip = 0.1\n\
                       normalize_advantages = false\n";

type Roll = fn(&ActingPolicy, usize, &mut EnvRng) -> Rollout;

/// A single choice, two at once, and a number.
fn problems() -> [(Space, Roll); 3] {
    let sizes = Combined::MULTI_DISCRETE.sizes.to_vec();
    [
        (Space::discrete(Task::ACTIONS), Task::roll),
        (Space::MultiDiscrete { nvec: sizes }, |policy, slots, rng| {
            Combined::MULTI_DISCRETE.roll(policy, slots, rng)
        }),
        // Half the range is 1, and with it the standard deviation that a policy starts with.
        (Space::uniform_box(-1.0, 1.0, &[1]), Aim::roll),
    ]
}

/// A small agent with these keys of `[learner]` beside the usual.
fn made(kind: &str, actions: &Space, more: &str) -> Box<dyn Agent> {
    let settings = settings(&format!("kind = '{kind}'\nhidden = [5, 4]"), &format!("{LEARNER}{more}"));
    agent(&settings, Task::DIM, actions, SEED)
}

/// Moves the policy and the critic away from their start, where a policy is nearly uniform.
fn stir(agent: &mut dyn Agent) {
    let mut rng = EnvRng::from_seed_sequence(SEED, &[77]);
    let mut state = agent.state();
    for name in ["policy.parameters", "critic.parameters"] {
        let stirred: Vec<f32> =
            array(&state, name).iter().map(|w| w + 0.3 * rng.standard_normal() as f32).collect();
        state = with(&state, name, &stirred);
    }
    agent.restore(&state).unwrap();
}

#[test]
fn the_first_step_is_a2cs_to_the_bit() {
    for (actions, roll) in problems() {
        let mut a2c = made("a2c", &actions, "");
        let mut ppo = made("ppo", &actions, "minibatches = 1\npolicy_epochs = 3\n");
        stir(&mut *a2c);
        stir(&mut *ppo);
        // More than one shard.
        let batch = roll(&a2c.acting_policy(), 700, &mut EnvRng::from_seed_sequence(SEED, &[1]));
        let of_a2c = improve(&mut *a2c, &batch);
        let of_ppo = improve(&mut *ppo, &batch);
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        let weights = a2c.last_gradient(&mut expected).unwrap().to_vec();
        assert_eq!(ppo.last_gradient(&mut found).unwrap(), weights, "{actions}");
        assert_eq!(found, expected, "{actions}");
        assert_eq!(ppo.last_advantages(), a2c.last_advantages(), "{actions}");
        assert_eq!(
            (of_ppo.policy_gradient_norm, of_ppo.squared_norm, of_ppo.entropy),
            (of_a2c.policy_gradient_norm, of_a2c.squared_norm, of_a2c.entropy),
            "{actions}"
        );
        assert!(weights.iter().any(|&g| g != 0.0));

        // On a part of the batch: A2C's ĝ of as many of its rows.
        let mut ppo = made("ppo", &actions, "minibatches = 4\n");
        stir(&mut *ppo);
        improve(&mut *ppo, &batch);
        ppo.last_gradient(&mut found).unwrap();
        let p = expected.len() / batch.rows();
        assert_eq!(found.len() / p, batch.rows() / 4, "{actions}");
        let close =
            |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1.0));
        let mut rows = expected.chunks_exact(p);
        for row in found.chunks_exact(p) {
            assert!(rows.any(|of_a2c| close(row, of_a2c)), "{actions}: in the batch's order");
        }
    }
}

/// log π(a) of row `row`, and the entropy there, in double precision.
fn log_prob(net: &Net, batch: &Rollout, row: usize) -> (f64, f64) {
    let dim = batch.observation_dim;
    let x: Vec<f64> = batch.observations[row * dim..(row + 1) * dim].iter().map(|&x| f64::from(x)).collect();
    let output = net.forward(&x);
    let choice = |logits: &[f64], action: u32| {
        let log_p = log_probs(logits);
        (log_p[action as usize], -log_p.iter().map(|l| l * l.exp()).sum::<f64>())
    };
    match &batch.actions {
        ActionBuffer::Discrete(_) => choice(&output, choices(batch)[row]),
        ActionBuffer::Factored { values, dim } => {
            let (mut start, mut sums) = (0, (0.0, 0.0));
            for (n, &action) in Combined::MULTI_DISCRETE.sizes.iter().zip(&values[row * dim..]) {
                let (l, h) = choice(&output[start..start + n], action);
                sums = (sums.0 + l, sums.1 + h);
                start += n;
            }
            sums
        }
        ActionBuffer::Box { .. } => {
            let log_std = net.parameters[net.parameters.len() - 1];
            let z = (f64::from(numbers(batch)[row]) - output[0]) / log_std.exp();
            let half_log_tau = 0.5 * std::f64::consts::TAU.ln();
            (-0.5 * z * z - log_std - half_log_tau, log_std + half_log_tau + 0.5)
        }
    }
}

#[test]
fn a_later_step_climbs_the_clipped_surrogate() {
    for (actions, roll) in problems() {
        let outputs = match &actions {
            Space::MultiDiscrete { .. } => Combined::MULTI_DISCRETE.width(),
            Space::Box { .. } => 1,
            _ => Task::ACTIONS,
        };
        // Two runs from one state: one step, and one more.
        let [mut one, mut two] = ["1", "2"].map(|epochs| {
            let keys = format!(
                "minibatches = 1\npolicy_epochs = {epochs}\nlearning_rate = 0.03\nbounds_loss = 0.0\n"
            );
            let mut agent = made("ppo", &actions, &keys);
            stir(&mut *agent);
            let state = rewound(&agent.state(), 3);
            agent.restore(&state).unwrap();
            agent
        });
        let batch = roll(&one.acting_policy(), 100, &mut EnvRng::from_seed_sequence(SEED, &[2]));
        let old = Net::new(Task::DIM, &HIDDEN, outputs, one.acting_policy().parameters());
        improve(&mut *one, &batch);
        improve(&mut *two, &batch);

        // Adam's first moment after two steps is 0.9·m₁ + 0.1·g₂.
        let (after_one, after_two) = (gradient(&*one, "policy"), gradient(&*two, "policy"));
        let beta = f64::from(0.9f32);
        let found: Vec<f64> = after_one.iter().zip(after_two).map(|(g1, m2)| m2 - beta * g1).collect();

        let net = Net::new(Task::DIM, &HIDDEN, outputs, one.acting_policy().parameters());
        let advantages: Vec<f64> = one.last_advantages().unwrap().iter().map(|&a| f64::from(a)).collect();
        let ratio = |net: &Net, row| (log_prob(net, &batch, row).0 - log_prob(&old, &batch, row).0).exp();
        let surrogate = |parameters: &[f64]| {
            let net = Net { parameters: parameters.to_vec(), ..net.clone() };
            let of_row = |row: usize| {
                let (rho, a) = (ratio(&net, row), advantages[row]);
                (rho * a).min(rho.clamp(1.0 - CLIP, 1.0 + CLIP) * a) + ENTROPY * log_prob(&net, &batch, row).1
            };
            -(0..batch.rows()).map(of_row).sum::<f64>() / batch.rows() as f64
        };
        let expected = finite_differences(&net.parameters, surrogate);
        let error = relative_error(&found, &expected);

        let cut = (0..batch.rows()).filter(|&row| {
            let rho = ratio(&net, row);
            if advantages[row] > 0.0 { rho > 1.0 + CLIP } else { rho < 1.0 - CLIP }
        });
        let cut = cut.count();
        println!("{actions}: relative error {error:.1e}, {cut} of {} rows clipped", batch.rows());
        assert!(cut > 5 && cut < batch.rows() - 5, "{actions}: a test of both sides of the clip");
        assert!(error < 1e-4, "{actions}: {error}");
    }
}

#[test]
fn threads_change_nothing() {
    for (actions, roll) in problems() {
        let trained = |compute: Compute| {
            let mut ppo = made("ppo", &actions, "minibatches = 2\npolicy_epochs = 3\n");
            let mut rng = EnvRng::from_seed_sequence(SEED, &[3]);
            for _ in 0..2 {
                // 2 × 1100 rows or 1 × 1100: a minibatch is more than one shard.
                let batch = roll(&ppo.acting_policy(), 1100, &mut rng);
                let mut metrics = Metrics::default();
                ppo.improve_policy(&batch, 0.5, &compute, &mut metrics).unwrap();
                ppo.fit_critics(&batch, 0.5, &compute, &mut metrics).unwrap();
            }
            ["policy.parameters", "critic.parameters"].map(|name| array(&ppo.state(), name))
        };
        let serial = trained(Compute::serial());
        for threads in [2, 3] {
            assert!(serial == trained(Compute::with_threads(threads)), "{actions}, {threads} threads");
        }
    }
}

#[test]
fn other_updates_draw_other_minibatches_and_a_restored_agent_the_same() {
    let (actions, roll) = &problems()[0];
    let mut ppo = made("ppo", actions, "minibatches = 4\n");
    let batch = roll(&ppo.acting_policy(), 64, &mut EnvRng::from_seed_sequence(SEED, &[4]));
    let state = ppo.state();
    let mut first = |updates| {
        ppo.restore(&rewound(&state, updates)).unwrap();
        improve(&mut *ppo, &batch);
        let mut estimates = Vec::new();
        ppo.last_gradient(&mut estimates).unwrap();
        (estimates, array(&ppo.state(), "policy.parameters"))
    };
    let (a, b, again) = (first(7), first(8), first(7));
    assert_ne!(a.0, b.0);
    assert!(a == again);
}

#[test]
fn what_could_not_learn_is_refused() {
    let ppo = agent_spec("ppo").unwrap();
    let refusal = |learner: &str, steps| {
        let shape = RolloutShape { episodes: false, envs: 1, steps };
        ppo.refuse(&settings("kind = 'ppo'", learner), shape).err().map(|refusal| refusal.key)
    };
    for (learner, steps, key) in [
        ("clip = 0.0", 8, "learner.clip"),
        ("clip = nan", 8, "learner.clip"),
        ("policy_epochs = 0", 8, "learner.policy_epochs"),
        ("minibatches = 0", 8, "learner.minibatches"),
        ("", 1, "learner.normalize_advantages"),
    ] {
        assert_eq!(refusal(learner, steps).as_deref(), Some(key), "{learner}, {steps} steps");
    }
    assert_eq!(refusal("", 8), None);
    assert_eq!(refusal("normalize_advantages = false", 1), None);
    // Its variance is split only where the first step is a plain one on the whole batch.
    let dissected = |learner| ppo.refuse_dissection(&settings("kind = 'ppo'", learner)).is_ok();
    assert!(dissected("normalize_advantages = false\nminibatches = 1"));
    assert!(!dissected("minibatches = 1") && !dissected("normalize_advantages = false"));
}

/// And closely: with PPO's many steps a batch the policy that the certificate looks at would be next to certain of every action, and
/// no gradient left to find a bias in.
#[test]
fn the_first_step_is_certified_closely() {
    for problem in [Problem::Enumerable, Problem::Masked, Problem::MaskedMultiDiscrete] {
        let mut target = AgentTarget::new("kind = 'ppo'", problem, 7, AgentBug::None).unwrap();
        let settings = Settings { pilot: 300, limit: 12_000, detectable: 0.2, ..Settings::default() };
        let verdict = check(&mut target, &settings).unwrap();
        println!("{}: {} of the gradient, p {:.1e}", verdict.name, verdict.detectable, verdict.p_value);
        assert!(verdict.p_value > 1e-4 && verdict.detectable < 0.25, "{}", verdict.name);
    }
}
