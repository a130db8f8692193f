//! A policy laid open: what is done to an observation until it is an action.

use std::collections::BTreeMap;
use std::path::Path;

use relax_agents::config::ActivationKind;
use relax_agents::distribution::{Categorical, Deterministic, Factored, Gaussian, SquashedGaussian};
use relax_agents::parts::normalize::Scaling;
use relax_agents::{ActingPolicy, NetworkCard};
use relax_envs::Space;
use relax_runtime::Error;
use relax_training::actor::make_env;
use relax_training::evaluate::Trained;
use relax_training::train::checkpoint_hash;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::encoder;

/// What the file says it is.
const FORMAT: &str = "relax-rl policy";
/// The version of the list of steps.
const FORMAT_VERSION: u32 = 1;

/// From observations to actions, step by step. `x` below is what the step before made of a batch of observations, `[N, …]`, in row-major
/// order and of 32-bit numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// "relax-rl policy".
    pub format: String,
    /// 1.
    pub format_version: u32,
    /// Where the policy comes from.
    pub about: About,
    /// Shape of one observation. Choices are one-hot, one after the other.
    pub observation: Vec<usize>,
    /// Length of the action mask that stands beside an observation, an entry a choice of every factor; none if the environment masks
    /// nothing.
    pub action_mask: Option<usize>,
    /// What comes out.
    pub action: Action,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// The arrays that the steps name.
    #[serde(default)]
    pub tensors: BTreeMap<String, Tensor>,
}

/// Where a policy comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Id of the environment.
    pub env: String,
    /// The algorithm.
    pub agent: String,
    /// The run's seed.
    pub seed: u64,
    /// Hash of what its checkpoint had learned.
    pub state_hash: String,
    /// Version of relax-rl that exported it.
    pub version: String,
}

/// The kind of action that comes out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// Space of the environment's actions, as Gymnasium prints it.
    pub space: String,
    /// Name of the policy's distribution.
    pub distribution: String,
    /// Shape of one action; empty for one number.
    pub shape: Vec<usize>,
    /// Whether it is made of whole numbers (choices) or of 32-bit floating-point numbers.
    pub integer: bool,
}

/// A step. Names are those of [`Plan::tensors`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Step {
    /// x ← x as `[N, D]`.
    Flatten,
    /// x ← clip((x − mean)·factor, −limit, limit).
    Scale {
        /// `[D]`.
        mean: String,
        /// `[D]`.
        factor: String,
        /// 10.
        limit: f32,
    },
    /// x ← x, `[N, D]`, as pictures `[N, height, width, channels]`, times the factor.
    Picture {
        /// Sizes of an observation's dimensions, frames first.
        dimensions: Vec<usize>,
        /// Their order in x as rows, columns, frames, channels of a frame; 0 is the first.
        order: Vec<usize>,
        /// Height, width, channels of all frames.
        shape: Vec<usize>,
        /// 1/255 for bytes, else 1.
        factor: f32,
    },
    /// A convolution without padding of x, `[N, height, width, in]`.
    Convolution {
        /// `[side, side, in, out]`.
        weight: String,
        /// `[out]`.
        bias: String,
        /// Pixels between two places of the filter.
        stride: usize,
    },
    /// x ← x·weight + bias.
    Affine {
        /// `[in, out]`.
        weight: String,
        /// `[out]`.
        bias: String,
    },
    /// x ← max(0, x).
    Relu,
    /// x ← tanh(x).
    Tanh,
    /// x ← x where x > 0, else exp(x) − 1.
    Elu,
    /// x, as it is here, is a result of this name beside the action.
    Output {
        /// `logits`, `mean`.
        name: String,
    },
    /// The array is a result of this name beside the action, the same for every observation.
    Constant {
        /// `log_std`.
        name: String,
        /// `[K]`.
        tensor: String,
    },
    /// The numbers of x from `count` on are a result of this name beside the action; x ← those before.
    Split {
        /// `log_std`.
        name: String,
        /// K.
        count: usize,
        /// Bounds to which the result is clipped, if there are any.
        limits: Option<[f32; 2]>,
    },
    /// x ← −∞ where the action mask is false.
    Mask,
    /// x ← for each factor, whose sizes are given, the place of its largest number (the first of equals) and `start` more, whole numbers
    /// `[N, F]`, or `[N]` if there is one factor and `alone` is set.
    Largest {
        /// Choices of each factor.
        sizes: Vec<usize>,
        /// What the first choice is called.
        start: i64,
        /// Whether an action is a number rather than a list.
        alone: bool,
    },
    /// x ← low + (x + 1)/2·(high − low).
    Stretch {
        /// `[K]`.
        low: String,
        /// `[K]`.
        high: String,
    },
    /// x ← min(max(x, low), high).
    Clip {
        /// `[K]`; the least 32-bit number where there is no bound.
        low: String,
        /// `[K]`; the greatest.
        high: String,
    },
    /// x ← x as `[N, …]`, an action's shape after the batch.
    Reshape {
        /// Sizes of an action's dimensions.
        shape: Vec<usize>,
    },
}

/// An array.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tensor {
    /// Sizes of its dimensions.
    pub shape: Vec<usize>,
    /// Its numbers, row-major.
    pub data: Vec<f32>,
}

impl Tensor {
    /// The numbers' bytes, little-endian.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.data.iter().flat_map(|x| x.to_le_bytes()).collect()
    }
}

impl Plan {
    /// The policy of the checkpoint `path`.
    ///
    /// # Errors
    /// If it is no usable checkpoint, or the policy cannot be described.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let Trained { policy, config, observation_space, action_space } = Trained::load_checkpoint(path)?;
        let mut env = make_env(&config.env, 1).map_err(|error| Error::input(error.to_string()))?;
        let mut observation = vec![0.0; env.observation_dim()];
        // Whether actions are masked is known after a reset.
        env.reset(&[config.run.seed], &mut observation).map_err(|error| Error::runtime(error.to_string()))?;
        let action_mask = env.action_masks().map(<[bool]>::len);
        let about = About {
            env: config.env.id.clone(),
            agent: config.agent.kind.clone(),
            seed: config.run.seed,
            state_hash: checkpoint_hash(path)?,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let observed = match &observation_space {
            Space::Box { shape, .. } if !shape.is_empty() => shape.clone(),
            other => vec![other.flat_dim()],
        };
        let action = Action {
            space: action_space.to_string(),
            distribution: policy.distribution().name().to_owned(),
            shape: action_space.shape(),
            integer: !matches!(action_space, Space::Box { .. }),
        };
        let mut plan = Self {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            about,
            observation: observed,
            action_mask,
            action,
            steps: Vec::new(),
            tensors: BTreeMap::new(),
        };
        plan.describe(&policy, &action_space)?;
        match plan.tensors.iter().find(|(_, tensor)| tensor.data.iter().any(|x| !x.is_finite())) {
            None => Ok(plan),
            Some((name, _)) => Err(Error::input(format!(
                "{}: `{name}` of its policy holds numbers that are not finite: training had diverged",
                path.display()
            ))
            .with_hint("export the run's other checkpoint: --checkpoint best, or latest")),
        }
    }

    fn describe(&mut self, policy: &ActingPolicy, actions: &Space) -> Result<(), Error> {
        let card = policy.card();
        self.steps.push(Step::Flatten);
        if let Some(scaling) = policy.scaling() {
            let mean = self.vector("scaling.mean", scaling.mean());
            let factor = self.vector("scaling.factor", scaling.factor());
            self.steps.push(Step::Scale { mean, factor, limit: Scaling::LIMIT });
        }
        for slice in policy.layout() {
            let data = policy.parameters()[slice.range].to_vec();
            self.tensors.insert(slice.name, Tensor { shape: slice.shape, data });
        }
        if let Some(encoder) = &card.encoder {
            encoder::describe(encoder, &mut self.steps)?;
        }
        self.layers(&card.network);
        self.head(&card.distribution, &card.settings, actions)
    }

    fn layers(&mut self, network: &NetworkCard) {
        for layer in 0..=network.hidden.len() {
            let of = |part: &str| format!("{layer}.{part}");
            self.steps.push(Step::Affine { weight: of("weight"), bias: of("bias") });
            if layer < network.hidden.len() {
                self.steps.push(match network.activation {
                    ActivationKind::Tanh => Step::Tanh,
                    ActivationKind::Relu => Step::Relu,
                    ActivationKind::Elu => Step::Elu,
                });
            }
        }
    }

    /// What becomes of the network's outputs, by the name of the distribution.
    fn head(&mut self, name: &str, settings: &Value, actions: &Space) -> Result<(), Error> {
        if name == Categorical::KIND.name || name == Factored::KIND.name {
            self.steps.push(Step::Output { name: "logits".to_owned() });
            if self.action_mask.is_some() {
                self.steps.push(Step::Mask);
            }
            let start = if let Space::Discrete { start, .. } = actions { *start } else { 0 };
            let sizes = actions.choices().unwrap_or_default();
            self.steps.push(Step::Largest { sizes, start, alone: matches!(actions, Space::Discrete { .. }) });
            return Ok(());
        }
        if name == Gaussian::KIND.name {
            self.spread(settings, None)?;
        } else if name == SquashedGaussian::KIND.name {
            self.spread(settings, Some(SquashedGaussian::LOG_STD))?;
            self.steps.push(Step::Tanh);
        } else if name == Deterministic::KIND.name {
            self.steps.push(Step::Tanh);
        } else {
            return Err(Error::input(format!(
                "the policy's distribution \"{name}\" is this program's own: no exported file could say how it acts"
            ))
            .with_hint("the program that registered it can write the weights: ActingPolicy::parameters and layout"));
        }
        let Space::Box { low, high, .. } = actions else {
            return Err(Error::input(format!("a {name} policy acts in a Box, not in {actions}")));
        };
        let number = |bound: &f32| bound.clamp(f32::MIN, f32::MAX);
        let low = self.vector("action.low", &low.iter().map(number).collect::<Vec<_>>());
        let high = self.vector("action.high", &high.iter().map(number).collect::<Vec<_>>());
        if name != Gaussian::KIND.name {
            self.steps.push(Step::Stretch { low: low.clone(), high: high.clone() });
        }
        self.steps.push(Step::Clip { low, high });
        if self.action.shape.len() != 1 {
            self.steps.push(Step::Reshape { shape: self.action.shape.clone() });
        }
        Ok(())
    }

    /// Means and log-standard-deviations of a Gaussian, squashed or not.
    fn spread(&mut self, settings: &Value, limits: Option<[f32; 2]>) -> Result<(), Error> {
        let gaussian: Gaussian = serde_json::from_value(settings.clone())
            .map_err(|error| Error::input(format!("the policy's distribution cannot be read: {error}")))?;
        let name = "log_std".to_owned();
        if gaussian.state_dependent {
            self.steps.push(Step::Split { name, count: gaussian.dim, limits });
        } else {
            if let (Some(tensor), Some([least, most])) = (self.tensors.get_mut(&name), limits) {
                tensor.data.iter_mut().for_each(|x| *x = x.clamp(least, most));
            }
            self.steps.push(Step::Constant { tensor: name.clone(), name });
        }
        self.steps.push(Step::Output { name: "mean".to_owned() });
        Ok(())
    }

    fn vector(&mut self, name: &str, data: &[f32]) -> String {
        self.tensors.insert(name.to_owned(), Tensor { shape: vec![data.len()], data: data.to_vec() });
        name.to_owned()
    }
}
