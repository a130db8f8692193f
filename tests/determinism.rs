//! Same configuration and seed, same numbers: bit for bit, whatever the number of workers.

use crate::common::{assert_same_run, columns, config, place, relax, summary, trained, weights};

/// Batches of 8 × 80 = 640 steps, more than one shard of the learner's; ragged at the end.
const STEPS: &str = r#"
[env]
id = "CartPole-v1"
[agent]
kind = "a2c"
hidden = [12, 8]
[rollout]
envs = 8
steps = 80
workers = 0
[learner]
entropy = 0.01
value_epochs = 2
learning_rate = 1e-2
[run]
env_steps = 3_003
seed = 11
evaluation_episodes = 2
evaluation_every_env_steps = 1_500
[checkpoint]
every_env_steps = 1_000
"#;

/// The same run again, and with other numbers of workers, is the same; another seed is another run.
#[track_caller]
fn check(what: &str, sets: &[&str]) {
    let with = |more: &str| {
        let mut sets = sets.to_vec();
        sets.push(more);
        trained(&config(STEPS, &sets))
    };
    let one = with("rollout.workers=0");
    for workers in 0..=3 {
        let other = with(&format!("rollout.workers={workers}"));
        assert_same_run(&one.run, &other.run, &format!("{what}, {workers} workers"));
    }
    let other = with("run.seed=12");
    assert_ne!(columns(&one.run.join("metrics.csv")), columns(&other.run.join("metrics.csv")), "{what}");
    assert_ne!(summary(&one.run).state_hash, summary(&other.run).state_hash, "{what}: another seed");
    let parameters = "agent.policy.parameters";
    assert_ne!(weights(&one.run, parameters), weights(&other.run, parameters), "{what}: another seed");
}

#[test]
fn a2c() {
    check("CartPole", &[]);
    check("Acrobot", &["env.id=Acrobot-v1"]);
    check("Pendulum", &["env.id=Pendulum-v1"]);
    check("RMSprop, annealed", &["learner.optimizer=rmsprop-tf", "learner.anneal=true"]);
}

#[test]
fn ppo() {
    for id in ["env.id=CartPole-v1", "env.id=Pendulum-v1"] {
        check(id, &["agent.kind=ppo", id, "learner.minibatches=3", "learner.policy_epochs=2"]);
    }
}

#[test]
fn reinforce() {
    for baseline in ["none", "learned", "value", "leave-one-out"] {
        let baseline = format!("agent.baseline={baseline}");
        let sets = ["agent.kind=reinforce", "rollout.mode=episodes", &baseline];
        check(&baseline, &sets);
    }
    let sets = ["agent.kind=reinforce", "rollout.mode=episodes", "env.id=Acrobot-v1"];
    check("Acrobot", &[&sets[..], &["env.max_episode_steps=100"]].concat());
}

#[test]
fn relax_a2c() {
    for form in ["residual", "pure"] {
        for noise in ["independent", "coupled"] {
            for objective in ["parameters", "weights"] {
                let (form, noise) = (format!("agent.control_variate={form}"), format!("agent.noise={noise}"));
                let objective = format!("agent.variance_objective={objective}");
                let epochs = "learner.control_variate_epochs=2";
                let sets = ["agent.kind=relax-a2c", &form, &noise, &objective, epochs];
                check(&format!("{sets:?}"), &sets);
            }
        }
    }
}

#[test]
fn relax_a2c_with_a_model() {
    for id in ["env.id=CartPole-v1", "env.id=Pendulum-v1"] {
        check(
            id,
            &["agent.kind=relax-a2c", "agent.control_variate=model", id, "learner.normalize_rewards=true"],
        );
    }
    for noise in ["agent.noise=coupled", "agent.noise=independent"] {
        let sets = ["agent.kind=relax-a2c", "agent.control_variate=model", "agent.own_action=relaxed", noise];
        check(noise, &sets);
    }
}

#[test]
fn relax_a2c_with_direct_advantages() {
    for id in ["env.id=CartPole-v1", "env.id=TicTacToe-v0"] {
        check(id, &["agent.kind=relax-a2c", "agent.control_variate=dae", id]);
    }
}

#[test]
fn relax_a2c_elsewhere() {
    for id in ["env.id=Acrobot-v1", "env.id=MountainCar-v0", "env.id=Pendulum-v1"] {
        check(id, &["agent.kind=relax-a2c", id, "agent.gain=1", "agent.noise=independent"]);
    }
}

/// Two processes, one of them with threads.
#[test]
fn the_program() {
    let root = place();
    let file = root.root.path().join("test.toml");
    std::fs::write(&file, STEPS).unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| root.root.path().join(name));
    for (dir, workers, seed) in [(&a, "0", "5"), (&b, "2", "5"), (&c, "2", "6")] {
        let sets = ["--set", "agent.kind=relax-a2c", "--quiet", "--workers", workers, "--seed", seed];
        let status = relax().arg("train").arg(&file).args(sets).arg("--out").arg(dir).status().unwrap();
        assert!(status.success());
    }
    assert_same_run(&a, &b, "two processes");
    assert_ne!(columns(&b.join("metrics.csv")), columns(&c.join("metrics.csv")));
}

/// Evaluating and saving on the way take nothing from training's random numbers, and nothing else.
#[test]
fn evaluations_checkpoints_and_logs_change_nothing() {
    let often = trained(&config(STEPS, &["agent.kind=relax-a2c", "rollout.workers=2"]));
    let never = trained(&config(
        STEPS,
        &[
            "agent.kind=relax-a2c",
            "run.evaluation_every_env_steps=0",
            "run.evaluation_episodes=0",
            "checkpoint.every_env_steps=0",
        ],
    ));
    for file in ["metrics.csv", "episodes.csv"] {
        assert_eq!(columns(&often.run.join(file)), columns(&never.run.join(file)), "{file}");
    }
    let sparse = trained(&config(STEPS, &["agent.kind=relax-a2c", "run.log_every_updates=2"]));
    let (all, some) = (columns(&never.run.join("metrics.csv")), columns(&sparse.run.join("metrics.csv")));
    for (name, cells) in &some {
        let every_second: Vec<_> = all[name].iter().skip(1).step_by(2).cloned().collect();
        assert_eq!(cells, &every_second, "{name}");
    }
    assert_eq!(
        weights(&often.run, "agent.policy.parameters"),
        weights(&sparse.run, "agent.policy.parameters")
    );
}
