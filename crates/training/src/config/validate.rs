//! Ranges: what every value must satisfy before anything runs.

use relax_agents::config::Gain;
use relax_runtime::config::{ConfigError, Origin, finite, refuse, within};

use super::Config;

/// Widest hidden layer; a wider one is a typing error.
const MAX_WIDTH: usize = 65_536;
/// Most hidden layers.
const MAX_LAYERS: usize = 64;
/// Most environments, steps per rollout and epochs.
const MAX_COUNT: u64 = 1 << 24;
/// Most transitions in a replay.
const MAX_TRANSITIONS: u64 = 1 << 30;

impl Config {
    /// Checks every value's range; [`Config::load`] does this already.
    ///
    /// # Errors
    /// Names the first value out of range, and the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_agent()?;
        self.validate_rollout()?;
        self.validate_learner()?;
        let run = &self.run;
        within("run.env_steps", run.env_steps, 1, i64::MAX as u64)?;
        within("run.seed", run.seed, 0, i64::MAX as u64)?;
        within("run.evaluation_episodes", run.evaluation_episodes as u64, 0, MAX_COUNT)?;
        within("run.evaluation_every_env_steps", run.evaluation_every_env_steps, 0, i64::MAX as u64)?;
        within("run.log_every_updates", run.log_every_updates, 1, i64::MAX as u64)?;
        within("checkpoint.every_env_steps", self.checkpoint.every_env_steps, 0, i64::MAX as u64)?;
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

    fn validate_agent(&self) -> Result<(), ConfigError> {
        let agent = &self.agent;
        for (key, hidden) in
            [("agent.hidden", &*agent.hidden), ("agent.critic_hidden", agent.critic_hidden())]
        {
            for &width in hidden {
                if !(1..=MAX_WIDTH).contains(&width) {
                    return Err(refuse(
                        key,
                        &format!("{hidden:?}"),
                        &format!("widths from 1 to {MAX_WIDTH}"),
                    ));
                }
            }
            if hidden.len() > MAX_LAYERS {
                let found = format!("{} layers", hidden.len());
                return Err(refuse(key, &found, &format!("at most {MAX_LAYERS} layers")));
            }
        }
        finite("agent.initial_log_std", agent.initial_log_std, "a finite number")?;
        let exploration = &agent.exploration;
        if !(exploration.std.is_finite() && exploration.std >= 0.0) {
            let found = format!("{:?}", exploration.std);
            return Err(refuse("agent.exploration.std", &found, "a finite number, 0 or more"));
        }
        if !(0.0..=1.0).contains(&exploration.theta) {
            let found = format!("{:?}", exploration.theta);
            return Err(refuse("agent.exploration.theta", &found, "a number from 0 to 1"));
        }
        if let Gain::Fixed(gain) = agent.gain {
            finite("agent.gain", gain, "\"adaptive\" or a finite number")?;
        }
        finite("agent.constant_baseline", agent.constant_baseline, "a finite number")
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

    fn validate_learner(&self) -> Result<(), ConfigError> {
        let learner = &self.learner;
        for (key, rate) in [
            ("learner.reward_scale", learner.reward_scale),
            ("learner.learning_rate", learner.learning_rate),
            ("learner.value_learning_rate", learner.value_learning_rate),
            ("learner.control_variate_learning_rate", learner.control_variate_learning_rate),
        ] {
            if !(rate.is_finite() && rate > 0.0) {
                return Err(refuse(key, &format!("{rate:?}"), "a finite number above 0"));
            }
        }
        for (key, fraction) in [("learner.gamma", learner.gamma), ("learner.lambda", learner.lambda)] {
            if !(0.0..=1.0).contains(&fraction) {
                return Err(refuse(key, &format!("{fraction:?}"), "a number from 0 to 1"));
            }
        }
        for (key, number) in [
            ("learner.entropy", learner.entropy),
            ("learner.max_grad_norm", learner.max_grad_norm),
            ("learner.critic_max_grad_norm", learner.critic_max_grad_norm),
            ("learner.replay.updates_per_step", learner.replay.updates_per_step),
            ("learner.critic.td", learner.critic.td),
            ("learner.critic.variance", learner.critic.variance),
        ] {
            if !(number.is_finite() && number >= 0.0) {
                return Err(refuse(key, &format!("{number:?}"), "a finite number, 0 or more"));
            }
        }
        let replay = &learner.replay;
        within("learner.replay.capacity", replay.capacity as u64, 1, MAX_TRANSITIONS)?;
        within("learner.replay.batch_size", replay.batch_size as u64, 1, MAX_COUNT)?;
        within("learner.replay.warm_up_steps", replay.warm_up_steps, 0, i64::MAX as u64)?;
        if !(replay.tau > 0.0 && replay.tau <= 1.0) {
            return Err(refuse("learner.replay.tau", &format!("{:?}", replay.tau), "above 0 and at most 1"));
        }
        within("learner.value_epochs", learner.value_epochs as u64, 0, MAX_COUNT)?;
        within("learner.control_variate_epochs", learner.control_variate_epochs as u64, 0, MAX_COUNT)
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
            ("agent.critic_hidden=[0]", "1 to 65536"),
            ("agent.initial_log_std=nan", "finite"),
            ("agent.exploration.std=-1", "0 or more"),
            ("agent.exploration.theta=2", "from 0 to 1"),
            ("learner.replay.capacity=0", "from 1"),
            ("learner.replay.tau=0", "above 0"),
            ("learner.replay.updates_per_step=nan", "0 or more"),
            ("learner.critic.td=-1", "0 or more"),
            ("learner.reward_scale=0", "above 0"),
            ("env.id=''", "relax envs list"),
            ("env.max_episode_steps=0", "from 1"),
            ("env.timeout=-1", "0 or more"),
        ] {
            let error = Config::from_toml(SMALL, "x.toml", &[set.to_owned()]).expect_err(set);
            let key = set.split('=').next().expect("a key");
            let text = error.to_string();
            assert!(text.starts_with(&format!("--set {set}: `{key}` is")) && text.contains(right), "{text}");
        }
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
