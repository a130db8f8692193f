//! [`AgentTarget`]: an agent, trained for a while, on a problem with a known gradient.

use super::encoded::{self, ENCODER, FEATURES};
use super::scales::Scales;
use super::{Aim, Combined, LinearQuadratic, Net, Task, finite_differences};
use crate::parts::versions::NAMES as GAINS;
use crate::{
    ActingPolicy, Agent, AgentError, AgentSettings, Compute, Metrics, Rollout, agent_spec, make_agent,
};
use relax_envs::{EnvRng, Space};
use relax_estimators::certify::Target;
use relax_nn::StateDict;

/// Episodes of a batch while the agent is trained, and when its gradient is taken.
const TRAINING_SLOTS: usize = 64;
const SLOTS: usize = 16;
/// Updates before the gradient is taken: critics and control variates are then trained ones.
const UPDATES: usize = 60;
/// Steps of the critics on a batch before it is used, with [`AgentBug::FittedFirst`].
const FORBIDDEN_FITS: usize = 5;
const HIDDEN: i64 = 5;
/// Episodes of a batch that its own gains are fitted to, with [`AgentBug::GainFromBatch`].
const FEW_SLOTS: usize = 2;
/// How a model learns; and with a replay of nothing but the batch, so that what it learns of it is the batch's noise.
const MODEL: &str = "model = { steps = 10, learning_rate = 1e-2 }";
const MEMORISING_MODEL: &str = "model = { capacity = 32, steps = 100, learning_rate = 1e-2 }";
/// A correction of V that is made of one batch only.
const MEMORISING_CORRECTION: &str = "model = { steps = 10, learning_rate = 1e-2, window = 1 }";
/// Without discount, so that the expected return is what the agent climbs.
/// Nothing that would bias: λ = 1. PPO takes two steps a batch, not forty.
const LEARNER: &str = "gamma = 1.0\nlambda = 1.0\nmax_grad_norm = 0.0\ncritic_max_grad_norm = 0.0\n\
                       learning_rate = 3e-3\nvalue_learning_rate = 1e-2\ncontrol_variate_learning_rate = 1e-2\n\
                       value_epochs = 4\ncontrol_variate_epochs = 4\nnormalize_advantages = false\n\
                       policy_epochs = 1\nminibatches = 2";
/// Rewards and observations as they are; or on the scales of all that was seen before, V rewritten as they move.
const AS_THEY_ARE: &str = "normalize_observations = false\nnormalize_rewards = false";
const SCALED: &str = "normalize_observations = true\nnormalize_rewards = true\npreserve_values = true";

/// Where the exact gradient comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// [`Task`]: three states, three actions, two steps, enumerated.
    Enumerable,
    /// [`Combined`]: two choices at once, of two and of three, enumerated.
    MultiDiscrete,
    /// [`Combined`]: three times yes or no, enumerated.
    MultiBinary,
    /// [`Combined`]: one choice of three, some of them masked, enumerated.
    Masked,
    /// [`Combined`]: two choices at once, some of each masked, enumerated.
    MaskedMultiDiscrete,
    /// [`Aim`]: one Gaussian action, closed form.
    Aim,
    /// [`LinearQuadratic`]: two Gaussian actions, closed form.
    LinearQuadratic,
}

/// A mistake to make on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AgentBug {
    /// None: the agent as it is.
    #[default]
    None,
    /// The control variate is fitted to a batch before that batch is used.
    FittedFirst,
    /// The control variate is evaluated at the noise of other actions than those taken.
    OtherNoise,
    /// A model's gains are the best for the very batch that they are used on.
    GainFromBatch,
    /// The correction of V for the steps that remain is fitted to a batch before that batch is used.
    CorrectionFittedFirst,
    /// What was drawn among the allowed choices is learned from as if all had been.
    ForgottenMask,
    /// The scales of observations and rewards are those of all that was seen before, and of the batch that they are used on.
    ScaledByBatch,
}

/// What critics and control variates know when the gradient is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Age {
    /// Nothing: their weights are random.
    Fresh,
    /// What some updates with this policy have taught them.
    #[default]
    Trained,
    /// What some updates with a very different policy have taught them.
    Stale,
}

/// What an agent's gradient is taken under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditions {
    /// The mistake that is made.
    pub bug: AgentBug,
    /// What critics and control variates know.
    pub age: Age,
    /// Observations and rewards are on running scales, as they are by default; otherwise as they are.
    pub scaled: bool,
}

/// An agent whose weight gradient is compared with the exact one.
pub struct AgentTarget {
    name: String,
    problem: Problem,
    bug: AgentBug,
    agent: Box<dyn Agent>,
    scales: Scales,
    /// The agent's state, to which it returns after each batch.
    state: StateDict,
    exact: Vec<f64>,
    rng: EnvRng,
    estimates: Vec<f32>,
}

impl AgentTarget {
    /// The agent that `text` describes (the keys of `[agent]`, TOML), trained on the problem for some updates. Its networks
    /// are small and everything it learns with is set here, as far as it has such keys.
    ///
    /// # Errors
    /// If the agent cannot be made or trained, or does not show its gradient.
    pub fn new(text: &str, problem: Problem, seed: u64, bug: AgentBug) -> Result<Self, AgentError> {
        Self::under(text, problem, seed, Conditions { bug, ..Conditions::default() })
    }

    /// As [`new`](Self::new), under other conditions. On running scales the gradient is that of the scaled return by the weights behind
    /// the scaled observations, both on the scales of all that was seen before the batch.
    ///
    /// # Errors
    /// As [`new`](Self::new); if it is to be on running scales, and does not scale what it sees, or has an encoder.
    pub fn under(
        text: &str,
        problem: Problem,
        seed: u64,
        conditions: Conditions,
    ) -> Result<Self, AgentError> {
        let Conditions { bug, age, scaled } = conditions;
        let scaled = scaled || bug == AgentBug::ScaledByBatch;
        // What a good model accounts for is no noise that a correction could learn by heart.
        let age = if bug == AgentBug::CorrectionFittedFirst { Age::Fresh } else { age };
        let model = match bug {
            AgentBug::FittedFirst => MEMORISING_MODEL,
            AgentBug::CorrectionFittedFirst => MEMORISING_CORRECTION,
            _ => MODEL,
        };
        let scales = if scaled { SCALED } else { AS_THEY_ARE };
        let mut settings = AgentSettings::from_texts(text, &format!("{LEARNER}\n{scales}\n{model}"))?;
        let hidden = if problem == Problem::LinearQuadratic { Vec::new() } else { vec![HIDDEN.into()] };
        for (key, widths) in [("hidden", hidden), ("critic_hidden", vec![8.into()])] {
            let has = agent_spec(&settings.kind).is_some_and(|spec| spec.has(&format!("agent.{key}")));
            if has {
                settings.agent.insert(key.into(), toml::Value::Array(widths));
            }
        }
        let dim = if problem == Problem::LinearQuadratic { 1 } else { Task::DIM };
        let actions = match problem {
            Problem::Enumerable => Space::discrete(Task::ACTIONS),
            Problem::MultiDiscrete | Problem::MaskedMultiDiscrete => {
                Space::MultiDiscrete { nvec: Combined::MULTI_DISCRETE.sizes.to_vec() }
            }
            Problem::Masked => Space::discrete(Combined::MASKED.width()),
            Problem::MultiBinary => Space::MultiBinary { n: Combined::MULTI_BINARY.sizes.len() },
            Problem::Aim | Problem::LinearQuadratic => Space::uniform_box(-9.0, 9.0, &[1]),
        };
        encoded::register();
        let observations = Space::uniform_box(-10.0, 10.0, &[dim]);
        let agent = make_agent(&settings, &observations, &actions, seed)?;
        let name = match settings.agent.get("encoder").and_then(toml::Value::as_str) {
            Some(ENCODER) => format!("{} behind an encoder", described(&settings)),
            _ => described(&settings),
        };
        let scales = if scaled { ", running scales" } else { "" };
        let name = format!("{name}{}{scales} on {}", age.name(), problem.name());
        let mut this = Self {
            name,
            problem,
            bug,
            state: agent.state(),
            agent,
            scales: Scales::none(dim),
            exact: Vec::new(),
            rng: EnvRng::from_seed_sequence(seed, &[0xce47]),
            estimates: Vec::new(),
        };
        let (updates, slots) = match (age, bug) {
            // A batch weighs little among many.
            (_, AgentBug::ScaledByBatch) => (1, FEW_SLOTS),
            (Age::Fresh, _) => (0, 0),
            _ => (UPDATES, TRAINING_SLOTS),
        };
        for _ in 0..updates {
            let batch = this.roll(slots);
            this.improve(&batch)?;
            this.fit(&batch)?;
        }
        if age == Age::Stale {
            let mut state = this.agent.state();
            let mut weights = this.agent.acting_policy().parameters().to_vec();
            weights.iter_mut().for_each(|w| *w += 0.5 * this.rng.standard_normal() as f32);
            state.insert_f32("policy.parameters", &weights);
            this.agent.restore(&state)?;
        }
        this.state = this.agent.state();
        if scaled {
            let batch = this.roll(this.slots());
            this.scales = Scales::of(&this.state, &this.agent.acting_policy(), &batch, &observations)?;
        }
        let batch = this.roll(2);
        this.improve(&batch)?;
        if this.agent.last_gradient(&mut this.estimates).is_none() {
            return Err(AgentError::Config(format!("{}: the agent does not show its gradient", this.name)));
        }
        this.agent.restore(&this.state)?;
        this.exact = this.exact_gradient();
        Ok(this)
    }

    /// Episodes side by side with the policy as it is.
    fn roll(&mut self, slots: usize) -> Rollout {
        let policy = self.agent.acting_policy();
        match self.problem {
            Problem::Enumerable => Task::roll(&policy, slots, &mut self.rng),
            Problem::MultiDiscrete => Combined::MULTI_DISCRETE.roll(&policy, slots, &mut self.rng),
            Problem::MultiBinary => Combined::MULTI_BINARY.roll(&policy, slots, &mut self.rng),
            Problem::Masked => Combined::MASKED.roll(&policy, slots, &mut self.rng),
            Problem::MaskedMultiDiscrete => {
                Combined::MASKED_MULTI_DISCRETE.roll(&policy, slots, &mut self.rng)
            }
            Problem::Aim => Aim::roll(&policy, slots, &mut self.rng),
            Problem::LinearQuadratic => LinearQuadratic::roll(&policy, slots, &mut self.rng),
        }
    }

    fn improve(&mut self, batch: &Rollout) -> Result<(), AgentError> {
        self.agent.improve_policy(batch, 0.0, &Compute::serial(), &mut Metrics::default())
    }

    fn fit(&mut self, batch: &Rollout) -> Result<(), AgentError> {
        self.agent.fit_critics(batch, 0.0, &Compute::serial(), &mut Metrics::default())
    }

    /// The gradient of the expected return by the weights, over the steps of an episode: the agent averages over steps.
    fn exact_gradient(&self) -> Vec<f64> {
        let policy = self.agent.acting_policy();
        let parameters: Vec<f64> = policy.parameters().iter().map(|&x| f64::from(x)).collect();
        let card = policy.card();
        if card.encoder.is_some() {
            return self.gradient_at(&parameters, &policy);
        }
        let width = card.network.hidden.first().copied().unwrap_or(policy.distribution().outputs());
        let mut gradient = self.gradient_at(&self.scales.absorbed(&parameters, width), &policy);
        self.scales.back(&mut gradient, width);
        gradient.iter_mut().for_each(|g| *g *= self.scales.reward);
        gradient
    }

    /// The same at the weights `wide` of a policy that sees what there is.
    fn gradient_at(&self, wide: &[f64], policy: &ActingPolicy) -> Vec<f64> {
        let parameters = policy.parameters();
        let card = policy.card();
        let net = |outputs| match card.encoder {
            None => Net::new(Task::DIM, &card.network.hidden, outputs, parameters),
            // Its weights are permuted below.
            Some(_) => {
                Net::new(Task::DIM, &[&[FEATURES], &card.network.hidden[..]].concat(), outputs, parameters)
            }
        };
        let combined = |task: Combined| {
            let net = net(task.width());
            finite_differences(wide, |p| task.expected_return(&net, p) / Task::HORIZON as f64)
        };
        match self.problem {
            Problem::Enumerable => {
                let net = net(Task::ACTIONS);
                let encoded = card.encoder.is_some();
                finite_differences(wide, |p| {
                    let p = if encoded { encoded::by_layer(p) } else { p.to_vec() };
                    Task::expected_return(&net, &p) / Task::HORIZON as f64
                })
            }
            Problem::MultiDiscrete => combined(Combined::MULTI_DISCRETE),
            Problem::MultiBinary => combined(Combined::MULTI_BINARY),
            Problem::Masked => combined(Combined::MASKED),
            Problem::MaskedMultiDiscrete => combined(Combined::MASKED_MULTI_DISCRETE),
            Problem::Aim => {
                let net = net(1);
                finite_differences(wide, |p| Aim::expected_return(&net, p))
            }
            Problem::LinearQuadratic => {
                let steps = LinearQuadratic::HORIZON as f64;
                let gradient = LinearQuadratic::gradient([wide[0], wide[1], wide[2]]);
                gradient.map(|g| g / steps).to_vec()
            }
        }
    }

    /// Episodes of the batch whose gradient is taken.
    fn slots(&self) -> usize {
        match self.bug {
            AgentBug::GainFromBatch | AgentBug::CorrectionFittedFirst | AgentBug::ScaledByBatch => FEW_SLOTS,
            _ => SLOTS,
        }
    }

    /// One batch's gradient, from the state that the agent was in when it was made.
    fn draw(&mut self) -> Result<Vec<f64>, AgentError> {
        self.agent.restore(&self.state)?;
        let mut batch = self.roll(self.slots());
        // Every batch has noise of its own behind an independent z̃: it is named by the number of updates.
        let mut state = self.state.clone();
        if state.get("updates").is_ok() {
            let updates = 1_000_000 + (self.rng.next_u64() >> 20);
            state.insert("updates", relax_nn::StateTensor::U64(vec![updates]));
        }
        match self.bug {
            AgentBug::None => {}
            AgentBug::FittedFirst => {
                self.improve(&batch)?;
                for _ in 0..FORBIDDEN_FITS {
                    self.fit(&batch)?;
                }
                let fitted = self.agent.state();
                for part in ["control_variate", "model"] {
                    state.insert_all(part, fitted.subset(part));
                }
            }
            AgentBug::CorrectionFittedFirst => {
                self.improve(&batch)?;
                self.fit(&batch)?;
                state.insert_all("horizon", self.agent.state().subset("horizon"));
                if state.get("horizon.averages").is_ok() {
                    // Past batches are said to allow all of it.
                    state.insert("horizon.averages", relax_nn::StateTensor::F64(vec![1.0, 1.0]));
                }
            }
            AgentBug::GainFromBatch => {
                for name in GAINS {
                    let none = vec![0.0; state.f64(name)?.len()];
                    state.insert(name, relax_nn::StateTensor::F64(none));
                }
                // Past batches are said to allow it.
                state.insert("guard", relax_nn::StateTensor::F64(vec![1.0, 0.5, 1.0, 0.0, 0.0]));
                self.agent.restore(&state)?;
                self.improve(&batch)?;
                let seen = self.agent.state();
                for name in GAINS {
                    state.insert(name, relax_nn::StateTensor::F64(seen.f64(name)?.to_vec()));
                }
            }
            AgentBug::ForgottenMask => batch.set_mask_dim(0),
            AgentBug::ScaledByBatch => {
                self.improve(&batch)?;
                state.insert_all("normalizer", self.agent.state().subset("normalizer"));
            }
            AgentBug::OtherNoise => {
                for u in &mut batch.noise {
                    *u = self.rng.uniform_open_f32();
                }
            }
        }
        self.agent.restore(&state)?;
        self.improve(&batch)?;
        let gradient = self.agent.last_gradient(&mut self.estimates).unwrap_or_default();
        Ok(gradient.iter().map(|&g| -f64::from(g)).collect())
    }
}

impl Target for AgentTarget {
    type Error = AgentError;

    fn name(&self) -> &str {
        &self.name
    }

    fn exact(&self) -> &[f64] {
        &self.exact
    }

    fn sample(&mut self, rows: &mut Vec<f64>) -> Result<(), AgentError> {
        let gradient = self.draw()?;
        rows.extend_from_slice(&gradient);
        Ok(())
    }
}

impl Age {
    fn name(self) -> &'static str {
        match self {
            Self::Fresh => ", fresh",
            Self::Trained => "",
            Self::Stale => ", stale",
        }
    }
}

impl Problem {
    fn name(self) -> &'static str {
        match self {
            Self::Enumerable => "an enumerable MDP",
            Self::MultiDiscrete => "an MDP of two choices at once",
            Self::MultiBinary => "an MDP of three yes-or-no choices",
            Self::Masked => "an MDP with masked choices",
            Self::MaskedMultiDiscrete => "an MDP of two choices at once, both masked",
            Self::Aim => "a Gaussian aim",
            Self::LinearQuadratic => "a linear-quadratic system",
        }
    }
}

/// The agent's name with the settings that make another estimator of it.
fn described(settings: &AgentSettings) -> String {
    agent_spec(&settings.kind).map_or_else(|| settings.kind.clone(), |spec| spec.described(settings))
}
