//! Which encoders there are, which one an observation space gets, and what an agent without any says to pictures.
//!
//! | `agent.encoder` | what stands between an observation and the hidden layers |
//! | --- | --- |
//! | `"auto"` | `"nature-cnn"` or `"small-cnn"` for [pictures](picture), else nothing |
//! | `"mlp"`, `"identity"` | nothing: the hidden layers see the numbers of the observation, a picture's too |
//! | `"small-cnn"` | 16 filters of 3 × 3, 128 features ([`Cnn::small`]) |
//! | `"nature-cnn"` | the convolutions of DQN, 512 features ([`Cnn::nature`]) |
//! | a registered name | your own module of candle-nn ([`register_encoder`]) |
//!
//! Policy and critic own separate encoders: one shared with the critic would move the policy that has acted when the critic is
//! fitted, and the next batch's scores would be stale.

use crate::config::Normalization;
use crate::settings::Refusal;
use crate::{AgentError, compute};
use relax_envs::Space;
use relax_nn::candle_core::{self, Device, Module};
use relax_nn::candle_nn::VarBuilder;
use relax_nn::{Cnn, Encoder, ModuleEncoder, ObservationShape, Picture, device};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, PoisonError, RwLock};

/// The large encoder.
const NATURE: &str = "nature-cnn";

/// … and the `agent.encoder_rate` that it has by itself, where all others have 1.
///
/// Adam moves every weight by about the learning rate, whatever its gradient is worth. A policy's gradient is mostly noise, and a unit of this encoder
/// has up to 3136 inputs: at the rate of layers of 64 it forgets what it told apart before they have learned to read it.
const NATURE_RATE: f64 = 0.1;

/// This crate's own names.
const OWN: [&str; 5] = ["auto", "mlp", "identity", "small-cnn", NATURE];

/// Least side of a picture that the filters of [`Cnn::nature`] fit into, and of one that those of [`Cnn::small`] do.
const NATURE_SIDE: usize = 36;
const SMALL_SIDE: usize = 3;

type Build = dyn Fn(&[usize], VarBuilder<'static>) -> candle_core::Result<Box<dyn Module>> + Send + Sync;

/// Encoders from elsewhere.
static REGISTERED: RwLock<Vec<(&'static str, Arc<Build>)>> = RwLock::new(Vec::new());

/// What a network sees: numbers as they are, or through an encoder.
#[derive(Debug, Clone)]
pub enum Observed {
    /// So many numbers.
    Numbers(usize),
    /// The features of an encoder, whose weights move at this share of the learning rates.
    Encoded(Arc<dyn Encoder>, f64),
}

impl From<usize> for Observed {
    fn from(numbers: usize) -> Self {
        Self::Numbers(numbers)
    }
}

impl Observed {
    /// What a network sees of `observations` through the encoder `name`.
    ///
    /// # Errors
    /// If there is no such encoder, or it cannot see such observations.
    pub fn new(name: &str, observations: &Space) -> Result<Self, AgentError> {
        Self::on(name, "cpu", observations)
    }

    /// As [`new`](Self::new), through an encoder that computes on the [`device`] of that name.
    ///
    /// # Errors
    /// As [`new`](Self::new); also if there is no such device, or nothing would compute there.
    pub fn on(name: &str, on: &str, observations: &Space) -> Result<Self, AgentError> {
        let there = device(on).map_err(AgentError::Config)?;
        let seen = shape(observations);
        let chosen = match name {
            "auto" => picture(observations),
            name => Some(name),
        };
        Ok(match chosen {
            None | Some("mlp" | "identity") if !there.is_cpu() => {
                return Err(AgentError::Config(format!(
                    "agent.device = \"{on}\" is where an encoder computes, and there is none before these hidden layers, which \
                     compute on the CPU: leave it out"
                )));
            }
            None | Some("mlp" | "identity") => Self::Numbers(observations.flat_dim()),
            Some(name) => {
                Self::Encoded(make(name, &seen, &there)?, if name == NATURE { NATURE_RATE } else { 1.0 })
            }
        })
    }

    /// The same, an encoder's weights moving at this share of the learning rates.
    #[must_use]
    pub fn at_encoder_rate(self, share: f64) -> Self {
        match self {
            Self::Numbers(_) => self,
            Self::Encoded(encoder, _) => Self::Encoded(encoder, share),
        }
    }

    /// Share of the learning rates at which an encoder's weights move.
    #[must_use]
    pub fn encoder_rate(&self) -> f64 {
        match self {
            Self::Numbers(_) => 1.0,
            Self::Encoded(_, share) => *share,
        }
    }

    /// The encoder, if there is one.
    #[must_use]
    pub fn encoder(&self) -> Option<&Arc<dyn Encoder>> {
        match self {
            Self::Numbers(_) => None,
            Self::Encoded(encoder, _) => Some(encoder),
        }
    }

    /// Numbers that the hidden layers see.
    #[must_use]
    pub fn features(&self) -> usize {
        match self {
            Self::Numbers(numbers) => *numbers,
            Self::Encoded(encoder, _) => encoder.features(),
        }
    }

    /// Rows of a batch in one shard.
    #[must_use]
    pub fn shard_rows(&self) -> usize {
        match self {
            Self::Numbers(_) => compute::SHARD_ROWS,
            Self::Encoded(..) => compute::ENCODED_SHARD_ROWS,
        }
    }

    /// How observations and rewards are scaled: an encoder that sees an array of two dimensions or more gets its numbers as they
    /// are (or divided by 255). Running statistics of every pixel would differ between places that share a filter.
    #[must_use]
    pub fn normalization(&self, asked: Normalization) -> Normalization {
        let array = self.encoder().is_some_and(|encoder| encoder.observation().shape.len() > 1);
        Normalization { observations: asked.observations && !array, ..asked }
    }

    /// Refuses an encoder where `what` needs the observation's own numbers.
    ///
    /// # Errors
    /// If there is one.
    pub fn refuse(&self, what: &str) -> Result<(), AgentError> {
        match self.encoder() {
            None => Ok(()),
            Some(encoder) => Err(AgentError::Config(format!(
                "{what} works on the numbers of an observation, not on the features of an encoder (here {}); leave it out, or set \
                 agent.encoder = \"mlp\"",
                encoder.name()
            ))),
        }
    }
}

/// An encoder in words: with its weights, enough to make it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncoderCard {
    /// Its name.
    pub name: String,
    /// What it observes.
    pub observation: ObservationShape,
}

impl EncoderCard {
    /// Describes an encoder.
    #[must_use]
    pub fn of(encoder: &dyn Encoder) -> Self {
        Self { name: encoder.name().to_owned(), observation: encoder.observation().clone() }
    }

    /// Makes it again, on the CPU.
    ///
    /// # Errors
    /// If there is no encoder of this name now, or it cannot see such observations.
    pub fn make(&self) -> Result<Arc<dyn Encoder>, AgentError> {
        make(&self.name, &self.observation, &Device::Cpu)
    }
}

/// Adds an encoder: `agent.encoder` can name it from now on.
///
/// `build(shape, variables)` makes a module that takes observations `[B, …]` with the shape of one observation after the batch
/// (those bounded by 0 and 255 arrive divided by 255) to features `[B, F]`; see [`ModuleEncoder`].
///
/// ```
/// use relax_nn::{candle_core::Module, candle_nn};
/// relax_agents::register_encoder("linear", |shape, variables| {
///     let linear = candle_nn::linear(shape.iter().product(), 16, variables)?;
///     Ok(Box::new(candle_nn::func(move |x| linear.forward(&x.flatten_from(1)?))))
/// })?;
/// # Ok::<(), relax_agents::AgentError>(())
/// ```
///
/// # Errors
/// If there is an encoder of this name.
pub fn register_encoder(
    name: &'static str,
    build: impl Fn(&[usize], VarBuilder<'static>) -> candle_core::Result<Box<dyn Module>> + Send + Sync + 'static,
) -> Result<(), AgentError> {
    let mut all = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    if OWN.contains(&name) || all.iter().any(|(other, _)| *other == name) {
        return Err(AgentError::Config(format!("there is an encoder called \"{name}\" already")));
    }
    all.push((name, Arc::new(build)));
    Ok(())
}

/// The names that `agent.encoder` can have.
#[must_use]
pub fn encoder_names() -> Vec<&'static str> {
    let all = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    OWN.into_iter().chain(all.iter().map(|(name, _)| *name)).collect()
}

/// Refuses a name that no encoder has.
///
/// # Errors
/// Names those there are.
pub fn refuse_unknown(name: &str) -> Result<(), Refusal> {
    let names = encoder_names();
    if names.contains(&name) {
        return Ok(());
    }
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let message = format!("there is no encoder `{name}`; there are {}", names.join(", "));
    Err(Refusal::new("agent.encoder", message, "relax_rl::agents::register_encoder adds one of your own"))
}

/// Refuses a device that there is not.
///
/// # Errors
/// Says what is missing.
pub fn refuse_device(name: &str) -> Result<(), Refusal> {
    let hint = "leave agent.device out to compute on the CPU; docs/encoders.md says what a device needs";
    device(name).map(|_| ()).map_err(|why| Refusal::new("agent.device", why, hint))
}

/// The encoder that a space of pictures gets by itself: boxes of three dimensions or more with the same bounds everywhere, 0 and
/// 255 from 36 × 36 pixels on, or 0 and 1. `None` for all others. Smaller arrays of bytes are codes more often than brightness
/// (MiniGrid's 7 × 7 × 3), of which a division by 255 would leave nothing.
#[must_use]
pub fn picture(observations: &Space) -> Option<&'static str> {
    let seen = shape(observations);
    let picture = Picture::of(&seen).filter(|_| seen.shape.len() > 2)?;
    let side = picture.height.min(picture.width);
    match bounds(observations)? {
        (0.0, 255.0 | 1.0) if side >= NATURE_SIDE => Some(NATURE),
        (0.0, 1.0) if side >= SMALL_SIDE => Some("small-cnn"),
        _ => None,
    }
}

/// Refuses pictures for the agent `kind`, which has no encoder.
///
/// # Errors
/// If the observations are pictures.
pub(crate) fn refuse_pictures(kind: &str, observations: &Space) -> Result<(), AgentError> {
    if picture(observations).is_none() {
        return Ok(());
    }
    Err(AgentError::Config(format!(
        "agent.kind = \"{kind}\" has no encoder for pictures ({observations}); reinforce, a2c, relax-a2c and ppo have"
    )))
}

fn bounds(space: &Space) -> Option<(f32, f32)> {
    let Space::Box { low, high, .. } = space else { return None };
    let same = |x: &[f32]| x.iter().all(|value| *value == x[0]).then(|| x[0]);
    if low.is_empty() { None } else { same(low).zip(same(high)) }
}

/// What an encoder sees of a space.
fn shape(observations: &Space) -> ObservationShape {
    match observations {
        Space::Box { shape, .. } => ObservationShape {
            shape: shape.clone(),
            scale: if bounds(observations) == Some((0.0, 255.0)) { 1.0 / 255.0 } else { 1.0 },
        },
        _ => ObservationShape { shape: vec![observations.flat_dim()], scale: 1.0 },
    }
}

fn make(name: &str, seen: &ObservationShape, on: &Device) -> Result<Arc<dyn Encoder>, AgentError> {
    let own = match name {
        NATURE => Some(Cnn::nature(seen)?),
        "small-cnn" => Some(Cnn::small(seen)?),
        _ => None,
    };
    match own {
        Some(own) if on.is_cpu() => return Ok(Arc::new(own)),
        Some(own) => return Ok(Arc::new(own.on(on)?)),
        None => {}
    }
    let build = {
        let all = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|(other, _)| *other == name).map(|(_, build)| build.clone())
    };
    match build {
        Some(build) => Ok(Arc::new(ModuleEncoder::on(name, seen, on, build)?)),
        None => Err(AgentError::Config(
            refuse_unknown(name)
                .err()
                .map_or_else(|| format!("`{name}` is no encoder of its own"), |refusal| refusal.message),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_told_from_other_arrays_by_shape_and_bounds() {
        let of = |low, high, shape: &[usize]| picture(&Space::uniform_box(low, high, shape));
        assert_eq!(of(0.0, 255.0, &[84, 84, 1]), Some("nature-cnn"));
        assert_eq!(of(0.0, 255.0, &[4, 84, 84]), Some("nature-cnn"));
        assert_eq!(of(0.0, 255.0, &[4, 96, 96, 3]), Some("nature-cnn"));
        assert_eq!(of(0.0, 1.0, &[10, 10, 6]), Some("small-cnn"));
        assert_eq!(of(0.0, 255.0, &[7, 7, 3]), None, "MiniGrid's codes");
        assert_eq!(of(0.0, 1.0, &[10, 5]), None, "a board");
        assert_eq!(of(-1.0, 1.0, &[84, 84, 3]), None);
        assert_eq!(of(0.0, 255.0, &[128]), None, "Atari's memory");
        assert_eq!(picture(&Space::discrete(5)), None);
    }
}
