//! Trainers whose actors are not of this process.

use relax_agents::{Agent, make_agent};
use relax_envs::EnvSpec;
use relax_runtime::Error;

use super::{Trainer, begun, check_env, cores, cut, made};
use crate::actor::{Actor, ActorState, Streams, make_env};
use crate::cluster::batch::Shape;
use crate::cluster::{Fleet, message};
use crate::config::Config;
use crate::train::crew::{Crew, Elsewhere};

impl Trainer {
    /// As [`new`](Self::new) and [`for_state`](Self::for_state), with the workers of `fleet`.
    pub(crate) fn with_fleet(config: &Config, mut fleet: Box<dyn Fleet>) -> Result<Self, Error> {
        let Seat { agent, actor, shape, spec } = Seat::new(config)?;
        let (slots, seed) = (config.rollout.envs, config.run.seed);
        let pure = actor.state().has_environments();
        let count = fleet.begin(config, pure)?.clamp(1, slots);
        let mut states = Vec::with_capacity(count);
        for part in cut(slots, count) {
            let state = if pure {
                let env = made(make_env(&config.env, part.len()))?;
                let distribution = agent.acting_policy().distribution().clone();
                begun(Actor::watched(env, part.start, distribution, seed, Streams::TRAINING, false))?.state()
            } else {
                let (dim, k) = (shape.observation_dim, shape.noise_dim);
                ActorState::without_environments(seed, Streams::TRAINING, part.clone(), dim, k)
            };
            states.push((part, state));
        }
        let elsewhere = Elsewhere::new(fleet, message::identity(config), shape.clone(), states);
        let crew = Crew::elsewhere(elsewhere, agent.acting_policy());
        Ok(Self::of(
            config,
            agent,
            crew,
            shape.rollout(slots),
            actor.env().action_space().clone(),
            &spec,
            cores(),
        ))
    }

    /// Without any actors: who has it brings the batches ([`take`](Self::take)), which look like the rollouts of the shape.
    pub(crate) fn alone(config: &Config) -> Result<(Self, Shape), Error> {
        let Seat { agent, actor, shape, spec } = Seat::new(config)?;
        let crew = Crew::nobody(agent.acting_policy());
        let (batch, actions) = (shape.rollout(config.rollout.envs), actor.env().action_space().clone());
        Ok((Self::of(config, agent, crew, batch, actions, &spec, cores()), shape))
    }
}

/// What a learner without actors of its own is made of: an agent, and one slot to see what the others are like.
struct Seat {
    agent: Box<dyn Agent>,
    actor: Actor,
    shape: Shape,
    spec: EnvSpec,
}

impl Seat {
    fn new(config: &Config) -> Result<Self, Error> {
        config.validate()?;
        let seed = config.run.seed;
        let env = made(make_env(&config.env, 1))?;
        check_env(config, &*env)?;
        let agent = made(make_agent(&config.settings(), env.observation_space(), env.action_space(), seed))?;
        let distribution = agent.acting_policy().distribution().clone();
        let actor = begun(Actor::watched(env, 0, distribution.clone(), seed, Streams::TRAINING, false))?;
        let shape = Shape::new(actor.env(), &*distribution);
        let spec = made(relax_envs::spec(&config.env.id))?;
        Ok(Self { agent, actor, shape, spec })
    }
}
