//! Ranges: what every value must satisfy before anything runs.

use relax_runtime::config::{ConfigError, Origin, refuse, within};

use super::Config;

/// Most environments and steps per rollout.
const MAX_COUNT: u64 = 1 << 24;

impl Config {
    /// Checks every value's range; [`Config::load`] does this already.
    ///
    /// # Errors
    /// Names the first value out of range, and the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_rollout()?;
        self.validate_agent()?;
        let run = &self.run;
        within("run.env_steps", run.env_steps, 1, i64::MAX as u64)?;
        if let Some(seconds) = run.seconds
            && !(seconds.is_finite() && seconds > 0.0)
        {
            return Err(refuse("run.seconds", &format!("{seconds:?}"), "a finite number of seconds above 0"));
        }
        within("run.seed", run.seed, 0, i64::MAX as u64)?;
        within("run.evaluation_episodes", run.evaluation_episodes as u64, 0, MAX_COUNT)?;
        within("run.evaluation_every_env_steps", run.evaluation_every_env_steps, 0, i64::MAX as u64)?;
        within("run.log_every_updates", run.log_every_updates, 1, i64::MAX as u64)?;
        within("checkpoint.every_env_steps", self.checkpoint.every(), 0, i64::MAX as u64)?;
        if self.env.id.trim().is_empty() {
            return Err(refuse("env.id", "\"\"", "the id of an environment; `relax envs list` shows them"));
        }
        if let Some(seconds) = self.env.timeout
            && !(seconds.is_finite() && seconds >= 0.0)
        {
            return Err(refuse("env.timeout", &format!("{seconds:?}"), "a number of seconds, 0 or more"));
        }
        for (key, given) in [
            ("env.vectorization", self.env.vectorization.is_some()),
            ("env.timeout", self.env.timeout.is_some()),
        ] {
            if given && !self.env.is_python() {
                let message = format!("`{key}` is for Python's environments, and {} is native", self.env.id);
                return Err(ConfigError::new(Origin::Program, Some(key), message)
                    .with_hint(Some(format!("leave it out, or take gym:{}", self.env.id))));
            }
        }
        if let Some(steps) = self.env.max_episode_steps {
            within("env.max_episode_steps", u64::from(steps), 1, u64::from(u32::MAX))?;
        }
        Ok(())
    }

    fn validate_rollout(&self) -> Result<(), ConfigError> {
        let rollout = &self.rollout;
        within("rollout.envs", rollout.envs as u64, 1, MAX_COUNT)?;
        within("rollout.steps", rollout.steps as u64, 1, MAX_COUNT)?;
        if rollout.workers > rollout.envs {
            let right = format!("0 to {}, the number of environments (rollout.envs)", rollout.envs);
            return Err(refuse("rollout.workers", &rollout.workers.to_string(), &right));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const SMALL: &str = "[env]\nid = \"CartPole-v1\"\n[agent]\nkind = \"a2c\"\n";

    #[test]
    fn values_out_of_range_are_named_with_the_range() {
        for (set, right) in [
            ("learner.gamma=1.5", "from 0 to 1"),
            ("learner.gamma=nan", "from 0 to 1"),
            ("learner.lambda=-0.1", "from 0 to 1"),
            ("learner.learning_rate=0", "above 0"),
            ("learner.value_learning_rate=inf", "above 0"),
            ("learner.control_variate_learning_rate=-1e-3", "above 0"),
            ("learner.entropy=-1", "0 or more"),
            ("learner.max_grad_norm=nan", "0 or more"),
            ("rollout.envs=0", "from 1"),
            ("rollout.steps=0", "from 1"),
            ("rollout.workers=9", "0 to 8"),
            ("run.env_steps=0", "from 1"),
            ("run.log_every_updates=0", "from 1"),
            ("agent.hidden=[64, 0]", "1 to 65536"),
            ("agent.hidden=[65537]", "1 to 65536"),
            ("agent.gain=inf", "adaptive"),
            ("agent.temperature=0", "above 0"),
            ("agent.critic_hidden=[0]", "1 to 65536"),
            ("agent.initial_log_std=nan", "finite"),
            ("agent.exploration.std=-1", "0 or more"),
            ("agent.exploration.theta=2", "from 0 to 1"),
            ("learner.replay.capacity=0", "from 1"),
            ("learner.replay.tau=0", "above 0"),
            ("learner.replay.updates_per_step=nan", "from 0 to 100"),
            ("learner.critic.td=-1", "0 or more"),
            ("learner.reward_scale=0", "above 0"),
            ("run.seconds=0", "above 0"),
            ("env.id=''", "relax envs list"),
            ("env.max_episode_steps=0", "from 1"),
            ("env.timeout=-1", "0 or more"),
        ] {
            let key = set.split('=').next().expect("a key");
            let kind = relax_agents::settings::owners(key).first().copied().unwrap_or("a2c");
            let text = SMALL.replace("a2c", kind);
            let error = Config::from_toml(&text, "x.toml", &[set.to_owned()]).expect_err(set);
            let text = error.to_string();
            assert!(text.starts_with(&format!("--set {set}: `{key}` is")) && text.contains(right), "{text}");
        }
    }

    #[test]
    fn settings_that_can_only_fail_together_are_refused_before_the_start() {
        let refused = |sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
            Config::from_toml(SMALL, "x.toml", &sets).err().map(|error| error.to_string())
        };
        for (sets, key) in [
            (
                &[
                    "rollout.envs=1",
                    "rollout.workers=0",
                    "rollout.steps=1",
                    "learner.normalize_advantages=true",
                ][..],
                "every advantage 0",
            ),
            (
                &[
                    "agent.kind=reinforce",
                    "rollout.envs=1",
                    "rollout.workers=1",
                    "agent.baseline=leave-one-out",
                ],
                "at least 2 episodes",
            ),
            (&["agent.kind=ddpg", "learner.replay.updates_per_step=0"], "never learn"),
            (&["agent.kind=relax-a2c", "agent.own_action=relaxed"], "looks into a learned model"),
            (&["agent.kind=relax-a2c", "agent.own_action=per-factor"], "looks into a learned model"),
            (&["agent.kind=relax-a2c", "agent.temperature=0.2"], "which is not asked for"),
            (
                &["agent.kind=relax-ddpg", "learner.normalize_advantages=true"],
                "knows the advantages' own size",
            ),
            (&["agent.kind=ddpg", "learner.replay.updates_per_step=1e300"], "from 0 to 100"),
        ] {
            assert!(refused(sets).is_some_and(|text| text.contains(key)), "{sets:?}");
            // Each of them is right without the last.
            assert_eq!(refused(&sets[..sets.len() - 1]), None, "{sets:?}");
        }
        assert_eq!(
            refused(&["learner.normalize_advantages=true", "rollout.envs=2", "rollout.steps=1"]),
            None
        );
    }

    #[test]
    fn the_line_of_a_value_out_of_range_is_named() {
        let error = Config::from_toml(&format!("{SMALL}[learner]\ngamma = 2\n"), "x.toml", &[]);
        assert!(error.expect_err("refused").to_string().starts_with("x.toml:6: `learner.gamma` is 2.0"));
    }

    #[test]
    fn a_network_without_hidden_layers_is_linear_and_allowed() {
        assert!(Config::from_toml(SMALL, "x.toml", &["agent.hidden=[]".to_owned()]).is_ok());
    }
}
