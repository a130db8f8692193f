//! What the agents that replay must learn: one step an episode, in which the action must equal the observed number.

use crate::common::{agent, improve, settings};
use relax_agents::{ActingScratch, ActionRange, Rollout};
use relax_envs::{Actions, EnvRng, Space};

const STEPS: usize = 2500;

/// Mean of −(a − x)² over some numbers, greedily, after training. The best constant answer, 0, makes −1/3.
fn named(kind: &str) -> f64 {
    let space = Space::uniform_box(-2.0, 2.0, &[1]);
    let text = format!("kind = '{kind}'\nhidden = [16]");
    let mut agent = agent(&settings(&text, "replay = { warm_up_steps = 200 }"), 1, &space, 3);
    let mut policy = agent.acting_policy();
    let mut batch = Rollout::new(1, 1, 1, policy.distribution().action_buffer());
    let (mut rng, mut range, mut scratch) =
        (EnvRng::from_seed(1), ActionRange::new(&space), ActingScratch::default());
    let mut executed = |policy: &relax_agents::ActingPolicy, batch: &Rollout| {
        let Actions::Box { values, .. } = policy.execute(&batch.actions, 0..1, &mut range) else {
            panic!("a box");
        };
        values[0]
    };
    for _ in 0..STEPS {
        agent.refresh(&mut policy);
        batch.clear();
        batch.levels.push(1);
        batch.slot.push(0);
        let x = rng.uniform(-1.0, 1.0) as f32;
        batch.observations.push(x);
        batch.noise.resize(1, 0.0);
        policy.draw(&mut rng, &mut [0.0], &mut batch.noise);
        batch.actions.resize(1);
        policy.act(&batch.observations, &batch.noise, &mut scratch, &mut batch.actions, 0..1);
        batch.rewards.push(-(executed(&policy, &batch) - x).powi(2));
        batch.terminated.push(true);
        batch.truncated.push(false);
        improve(&mut *agent, &batch);
    }
    agent.refresh(&mut policy);
    let numbers = (0..200).map(|i| i as f32 / 100.0 - 0.995);
    let misses = numbers.map(|x| {
        policy.act_greedily(&[x], &mut scratch, &mut batch.actions, 0..1);
        f64::from(executed(&policy, &batch) - x).powi(2)
    });
    -misses.sum::<f64>() / 200.0
}

#[test]
fn a_number_is_named() {
    for kind in ["ddpg", "td3", "sac"] {
        let mean = named(kind);
        println!("{kind}: {mean:.5}");
        assert!(mean > -0.02, "{kind}: {mean}");
    }
}

/// Runs of before there were three bounds of q.
#[test]
fn a_state_of_an_earlier_control_variate_is_outgrown_and_changes_nothing() {
    let space = Space::uniform_box(-2.0, 2.0, &[1]);
    let [ddpg, model] = ["relax-ddpg'", "relax-a2c'\ncontrol_variate = 'model'"];
    for kind in [ddpg, model] {
        let mut agent = agent(&settings(&format!("kind = '{kind}\nhidden = [4]"), ""), 1, &space, 3);
        let own = agent.state();
        assert!(agent.restore(&own).is_ok());
        let mut earlier = own.clone();
        earlier.remove_all("gains");
        assert!(matches!(agent.restore(&earlier), Err(relax_agents::AgentError::Outgrown)), "{kind}");
        assert_eq!(agent.state(), own, "{kind}");
    }
}
