//! A checkpoint may leave out what an agent has stored to learn from again.

use crate::common::{config, latest, resumed, tensors, trained};

/// Without what was stored, a run goes on, and learns from replay again once as much is stored as it began with.
#[test]
fn a_checkpoint_may_leave_the_replay_out() {
    const SETS: &[&str] = &[
        "env.id=Pendulum-v1",
        "rollout.envs=2",
        "rollout.steps=5",
        "rollout.workers=0",
        "run.env_steps=400",
        "run.evaluation_episodes=0",
        "run.evaluation_every_env_steps=0",
        "learner.anneal=false",
        "checkpoint.replay=false",
    ];
    let replaying: &[&str] = &[
        "learner.replay.warm_up_steps=100",
        "learner.replay.batch_size=16",
        "learner.replay.updates_per_step=1",
    ];
    let model: &[&str] = &["agent.control_variate=model"];
    for (kind, sets, learned) in [
        ("ddpg", replaying, Some("agent.actor.parameters")),
        ("td3", replaying, Some("agent.actor.parameters")),
        ("sac", replaying, Some("agent.actor.parameters")),
        ("relax-ddpg", replaying, Some("agent.q.parameters")),
        ("relax-a2c", model, None),
    ] {
        let text = format!("[agent]\nkind = \"{kind}\"\nhidden = [8]\n");
        let sets = [SETS, sets].concat();
        let place = trained(&config(&text, &sets));
        let held = |name: &str| tensors(&latest(&place.run)).keys().any(|key| key.starts_with(name));
        assert!(!held("agent.replay.") && held("agent."), "{kind}");
        let file = std::fs::metadata(latest(&place.run)).unwrap().len();
        let with = trained(&config(&text, &[&sets[..], &["checkpoint.replay=true"]].concat()));
        let more = std::fs::metadata(latest(&with.run)).unwrap().len() - file;
        assert!(more >= 400 * 33, "{kind}: {more} bytes of stored transitions");
        let weights = |name: &str| tensors(&latest(&place.run))[name].clone();
        let Some(name) = learned else {
            resumed(&place.run, &["run.env_steps=800"]);
            continue;
        };
        let before = weights(name);
        assert_eq!(tensors(&latest(&with.run))[name], before, "{kind}: leaving it out changes nothing else");
        // 90 transitions are not yet the 100 that learning starts with.
        resumed(&place.run, &["run.env_steps=490"]);
        assert_eq!(weights(name), before, "{kind}");
        // Resumed once more, it has to fill it once more.
        resumed(&place.run, &["run.env_steps=580"]);
        assert_eq!(weights(name), before, "{kind}");
        resumed(&place.run, &["run.env_steps=780"]);
        assert_ne!(weights(name), before, "{kind}");
        let [steps, updates] = weights("agent.counters")[..] else { panic!("two counters") };
        assert_eq!((steps, updates), (780, 680), "{kind}: nothing is made up for");
    }
}
