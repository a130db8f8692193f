//! A trainer of environments and an agent that are given as values: no registry is asked for them.

use relax_agents::Agent;
use relax_envs::{Env, EnvError, EnvSpec, MakeOptions, NativeVecEnv, VecEnv};
use relax_runtime::Error;
use std::sync::{Mutex, PoisonError};

use super::{Trainer, made, parts};
use crate::actor::Streams;
use crate::config::Config;

impl Trainer {
    /// The trainer of environments of one's own, `rollout.envs` of them, one a slot. They need not be registered: `env.id` is
    /// what messages call them. Time limit and wrappers are the configuration's; none if it has none.
    ///
    /// ```
    /// use relax_training::{Config, train::Trainer};
    /// # use relax_envs::{Kwargs, make};
    /// # let my_env = || make("CartPole-v1", &Kwargs::new());
    /// let text = "[env]\nid = 'my task'\nmax_episode_steps = 200\n[agent]\nkind = 'relax-a2c'\n[rollout]\nenvs = 4\n[run]\nenv_steps = 1000\n";
    /// let config = Config::from_toml(text, "example", &[])?;
    /// let envs = (0..4).map(|_| my_env()).collect::<Result<Vec<_>, _>>()?;
    /// let mut trainer = Trainer::with_envs(&config, envs)?;
    /// while !trainer.is_over() {
    ///     trainer.step()?;
    /// }
    /// let action = trainer.predict(&[0.0, 0.0, 0.1, 0.0])?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Another number of environments than `rollout.envs`, environments whose spaces differ, and as [`new`](Self::new).
    pub fn with_envs(config: &Config, envs: Vec<Box<dyn Env>>) -> Result<Self, Error> {
        Self::of_values(config, envs, None)
    }

    /// As [`with_envs`](Self::with_envs), for an agent of one's own too, which need not be registered either: `[agent]` and `[learner]`
    /// of the configuration then say nothing.
    ///
    /// ```
    /// use relax_agents::{Task, a2c::{A2c, A2cKeys, A2cLearner}};
    /// use relax_training::{Config, train::Trainer};
    /// # use relax_envs::{Kwargs, make};
    /// # let my_env = || make("CartPole-v1", &Kwargs::new());
    /// let config = Config::from_toml("[env]\nid = 'my task'\n[agent]\nkind = 'a2c'\n", "example", &[])?;
    /// let envs = (0..config.rollout.envs).map(|_| my_env()).collect::<Result<Vec<_>, _>>()?;
    /// let task = Task { observations: envs[0].observation_space(), actions: envs[0].action_space(), seed: 1 };
    /// let agent = A2c::new(task, &A2cKeys { hidden: vec![32], ..A2cKeys::default() }, &A2cLearner::default())?;
    /// let mut trainer = Trainer::with_parts(&config, envs, Box::new(agent))?;
    /// let update = trainer.step()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`with_envs`](Self::with_envs).
    pub fn with_parts(
        config: &Config,
        envs: Vec<Box<dyn Env>>,
        agent: Box<dyn Agent>,
    ) -> Result<Self, Error> {
        Self::of_values(config, envs, Some(agent))
    }

    fn of_values(
        config: &Config,
        envs: Vec<Box<dyn Env>>,
        agent: Option<Box<dyn Agent>>,
    ) -> Result<Self, Error> {
        config.validate()?;
        let (given, slots, env) = (envs.len(), config.rollout.envs, &config.env);
        if given != slots {
            let message = format!("{given} environments were given, and rollout.envs is {slots}");
            return Err(Error::input(message).with_hint("one environment a slot"));
        }
        let spaces = |env: &dyn Env| format!("{} and {}", env.observation_space(), env.action_space());
        let first = spaces(&*envs[0]);
        if let Some(unlike) = envs.iter().position(|env| spaces(&**env) != first) {
            let other = spaces(&*envs[unlike]);
            let message = format!("environment {unlike} has the spaces {other}, and environment 0 {first}");
            return Err(Error::input(message).with_hint("all slots of a run are of one kind"));
        }
        let envs = Mutex::new(envs.into_iter());
        // Made as registered ones are, so that limit and wrappers go around them in the same order.
        let spec = EnvSpec::new(&env.id, "given as a value", move |_| {
            let next = envs.lock().unwrap_or_else(PoisonError::into_inner).next();
            next.ok_or(EnvError::BufferLength { what: "environments", expected: slots, got: given })
        });
        let options = MakeOptions {
            max_episode_steps: env.max_episode_steps,
            wrappers: env.wrappers.clone(),
            ..MakeOptions::default()
        };
        let part = |slots: usize| -> Result<Box<dyn VecEnv>, EnvError> {
            let envs = (0..slots).map(|_| spec.make(&options)).collect::<Result<_, _>>()?;
            Ok(Box::new(NativeVecEnv::new(&env.id, envs)?))
        };
        let envs = parts(config).map(|slots| made(part(slots.len()))).collect::<Result<Vec<_>, _>>()?;
        Self::assembled(config, envs, agent, &spec, Streams::TRAINING)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use relax_agents::make_agent;
    use relax_envs::{Kwargs, make};

    fn config(id: &str, workers: usize) -> Config {
        let text = format!(
            "[env]\nid = '{id}'\nmax_episode_steps = 30\n[agent]\nkind = 'relax-a2c'\nhidden = [8]\n[rollout]\nenvs = 5\n\
             workers = {workers}\n[run]\nenv_steps = 1000\n"
        );
        Config::from_toml(&text, "test", &[]).unwrap()
    }

    fn envs(count: usize) -> Vec<Box<dyn Env>> {
        // Without a limit of their own: it is the configuration's, as for the registered one.
        (0..count)
            .map(|_| relax_envs::spec("CartPole-v1").unwrap().max_episode_steps(30))
            .map(|spec| spec.make(&MakeOptions::default()).unwrap())
            .collect()
    }

    fn learned(mut trainer: Trainer) -> String {
        while !trainer.is_over() {
            trainer.step().unwrap();
        }
        trainer.state_hash()
    }

    #[test]
    fn what_is_given_trains_as_what_is_registered() {
        let registered = learned(Trainer::new(&config("CartPole-v1", 0)).unwrap());
        for workers in [0, 2] {
            let config = config("nowhere registered", workers);
            assert_eq!(learned(Trainer::with_envs(&config, envs(5)).unwrap()), registered);
            let (space, seed) = (envs(1), config.run.seed);
            let (observations, actions) = (space[0].observation_space(), space[0].action_space());
            let agent = made(make_agent(&config.settings(), observations, actions, seed)).unwrap();
            assert_eq!(learned(Trainer::with_parts(&config, envs(5), agent).unwrap()), registered);
        }
    }

    #[test]
    fn too_few_and_unlike_environments_are_refused() {
        let config = config("mine", 2);
        let refusal = |envs| match Trainer::with_envs(&config, envs) {
            Ok(_) => panic!("taken"),
            Err(error) => error.to_string(),
        };
        assert!(refusal(envs(4)).contains("4 environments were given, and rollout.envs is 5"));
        for place in [1, 4] {
            let mut unlike = envs(5);
            unlike[place] = make("Acrobot-v1", &Kwargs::new()).unwrap();
            let text = refusal(unlike);
            assert!(
                text.contains(&format!("environment {place} has")) && text.contains("Discrete(3)"),
                "{text}"
            );
        }
    }
}
