//! The one error type of this crate: what was wrong, where, and what would be right.

use thiserror::Error;

/// Everything that can go wrong with an environment.
///
/// A vector environment wraps what happened inside one of its slots in [`EnvError::Slot`], so that the
/// message names the environment, the slot and the seed that reproduces the episode.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EnvError {
    /// No environment is registered under this id.
    #[error("unknown environment `{id}`{}", did_you_mean(near))]
    UnknownEnv {
        /// The id that was asked for.
        id: String,
        /// The ids that look like it, the nearest first: at most three; [`ids`](crate::ids) are all.
        near: Vec<String>,
    },
    /// The id asks for a Python environment (`gym:…`), which this build cannot run.
    #[error(
        "`{id}` is a Python environment, and this program was built without Python; build it with \
         `cargo build --release --features gym` (docs/gymnasium.md)"
    )]
    PythonUnsupported {
        /// The id that was asked for.
        id: String,
    },
    /// The id is one of an optional part, which this build does not have.
    #[error(
        "`{id}` needs {part}, and this program was built without it; build it with \
         `cargo build --release --features {feature}` (docs/worlds.md)"
    )]
    FeatureMissing {
        /// The id that was asked for.
        id: String,
        /// What it needs, as people call it.
        part: &'static str,
        /// The cargo feature that has it.
        feature: &'static str,
    },
    /// A library that is opened at run time cannot be found or used.
    #[error("cannot use {library}: {reason}")]
    MissingLibrary {
        /// Which.
        library: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// [`register`](crate::register) was called with an id it cannot take.
    #[error("cannot register environment `{id}`: {reason}")]
    Registration {
        /// The offending id.
        id: String,
        /// Why it was refused.
        reason: String,
    },
    /// A keyword argument that the environment does not have.
    #[error("`{env}` has no argument `{key}`; valid: {valid}")]
    UnknownKwarg {
        /// Environment id.
        env: String,
        /// The offending key.
        key: String,
        /// The keys that the environment has, comma-separated.
        valid: String,
    },
    /// A keyword argument with a value of the wrong type or outside its range.
    #[error(
        "argument `{key}` of `{env}` must be {expected}, but is {got}; arguments of this environment: {valid}"
    )]
    KwargValue {
        /// Environment id.
        env: String,
        /// The offending key.
        key: String,
        /// What the value must be.
        expected: String,
        /// What it is.
        got: String,
        /// The keys that the environment has, comma-separated.
        valid: String,
    },
    /// A wrapper that cannot be put around this environment.
    #[error("wrapper `{wrapper}`: {reason}")]
    Wrapper {
        /// Name of the wrapper as in [`WrapperConfig`](crate::wrappers::WrapperConfig).
        wrapper: &'static str,
        /// Why not, and what would be right.
        reason: String,
    },
    /// A space that describes nothing: no elements, bounds that cross, a shape that does not match.
    #[error("invalid space {space}: {reason}")]
    InvalidSpace {
        /// The space, as it prints.
        space: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An action outside the action space's type, length or range.
    #[error("invalid action for `{env}`: expected {expected}, got {got}")]
    InvalidAction {
        /// Environment id.
        env: String,
        /// What the environment takes.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// A mask of actions that is missing, has another length than the choices, or allows nothing.
    #[error("{}the action mask {problem}", steps.map(|steps| format!("after {steps} steps of the episode, ")).unwrap_or_default())]
    ActionMask {
        /// Steps that the episode had taken, if whoever noticed knows.
        steps: Option<u64>,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// `step` before the first `reset`, or after the end of an episode.
    #[error("`{env}`: step() needs a running episode; call reset() first, and again after each end")]
    NeedsReset {
        /// Environment id.
        env: String,
    },
    /// An option of a reset that the environment does not have, or with a value that it cannot take.
    #[error("reset options of `{env}`: {reason}")]
    ResetOption {
        /// Environment id or type name.
        env: String,
        /// What was wrong, and what would be right.
        reason: String,
    },
    /// A number of the environment that cannot be changed.
    #[error("`{name}` of `{env}` is fixed: it can be read, not changed")]
    FixedAttribute {
        /// Environment id or type name.
        env: String,
        /// Its name.
        name: String,
    },
    /// A buffer of the wrong length.
    #[error("{what} must hold {expected} values, but holds {got}")]
    BufferLength {
        /// Which buffer.
        what: &'static str,
        /// The length that is needed.
        expected: usize,
        /// The length it has.
        got: usize,
    },
    /// `active` of [`VecEnv::step`](crate::VecEnv::step) is not an ascending list of slots.
    #[error("active slots must ascend and lie below {slots}; entry {index} is {slot}")]
    InvalidSlots {
        /// Number of slots.
        slots: usize,
        /// Index into `active`.
        index: usize,
        /// The offending slot.
        slot: usize,
    },
    /// An observation or reward that is NaN or infinite, or becomes so in the single precision that agents compute in.
    #[error("{what} is {value:?}, which is {}", not_a_number_to_learn_from(what, *value))]
    NonFinite {
        /// `reward`, or `observation[i]`.
        what: String,
        /// The value.
        value: f64,
    },
    /// The environment does not offer [`save_state`](crate::Env::save_state).
    #[error("`{env}` cannot save or load its state")]
    StateUnsupported {
        /// Environment id or type name.
        env: String,
    },
    /// A saved state that does not fit the environment (too short, not finite, out of range).
    #[error("saved state does not fit `{env}`: {reason}")]
    InvalidState {
        /// Environment id.
        env: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Six words that are no state of the generator.
    #[error(transparent)]
    InvalidRngState(#[from] relax_rng::InvalidRngState),
    /// A frame could not be encoded.
    #[error("cannot encode the frame: {reason}")]
    Render {
        /// What the encoder said.
        reason: String,
    },
    /// What happened inside one slot of a vector environment.
    #[error("`{env}`, slot {slot}, seed {seed}, episode {episode} since that seed: {source}")]
    Slot {
        /// Environment id.
        env: String,
        /// Index of the slot.
        slot: usize,
        /// The seed given to the last [`VecEnv::reset`](crate::VecEnv::reset) of the slot.
        seed: u64,
        /// Number of episodes finished in the slot since that reset (0: the episode the seed started).
        episode: u64,
        /// What happened.
        source: Box<EnvError>,
    },
    /// Python, Gymnasium or an environment of theirs cannot be had: one sentence with the way to mend it.
    #[error("{message}")]
    Python {
        /// What is missing or wrong, and what to do.
        message: String,
    },
    /// What a Python environment did wrong, usually a traceback.
    #[error("{}{message}", action.as_ref().map(|action| format!("after action {action}: ")).unwrap_or_default())]
    PythonFault {
        /// The slot's last action, as Python prints it.
        action: Option<String>,
        /// What happened.
        message: String,
    },
    /// A call into an environment that does not come back.
    #[error("an environment has not answered for {} seconds (env.timeout), {place}", limit.as_secs_f64())]
    Hung {
        /// The limit that has passed.
        limit: std::time::Duration,
        /// Where it is stuck.
        place: String,
    },
    /// What happened in a step of all slots at once, where no single slot can be blamed.
    #[error("`{env}`, all slots together, seed {seed}: {source}")]
    Batch {
        /// Environment id.
        env: String,
        /// The seed of the last reset.
        seed: u64,
        /// What happened.
        source: Box<EnvError>,
    },
    /// A panic in a step of the environment: a mistake in its code.
    #[error("it panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// An error of a user's own environment.
    #[error("`{env}`: {source}")]
    Custom {
        /// Environment id.
        env: String,
        /// The environment's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn not_a_number_to_learn_from(what: &str, value: f64) -> &'static str {
    if value.is_finite() {
        "beyond the single precision that agents compute in, at most 3.4e38: scale it down"
    } else if value.is_infinite() && what.starts_with("observation") {
        // It may have been a larger number before it got here.
        "not finite in the single precision that agents compute in, at most 3.4e38"
    } else {
        "not finite"
    }
}

/// ` (did you mean …?)`, or nothing if nothing is near.
fn did_you_mean(near: &[String]) -> String {
    let near: Vec<String> = near.iter().map(|id| format!("`{id}`")).collect();
    match near.split_last() {
        None => String::new(),
        Some((only, [])) => format!(" (did you mean {only}?)"),
        Some((last, others)) => format!(" (did you mean {} or {last}?)", others.join(", ")),
    }
}

impl EnvError {
    /// The error of an environment that was given the wrong action.
    #[cold]
    pub fn invalid_action(env: &str, expected: impl ToString, got: impl ToString) -> Self {
        Self::InvalidAction { env: env.to_owned(), expected: expected.to_string(), got: got.to_string() }
    }

    /// The error of an action mask, from what is wrong with it: "is missing", "allows no action".
    #[cold]
    pub fn action_mask(problem: impl Into<String>) -> Self {
        Self::ActionMask { steps: None, problem: problem.into() }
    }

    /// The error of an environment that is stepped while no episode runs.
    #[cold]
    pub fn needs_reset(env: &str) -> Self {
        Self::NeedsReset { env: env.to_owned() }
    }

    /// The error of a saved state that does not fit.
    #[cold]
    pub fn invalid_state(env: &str, reason: impl ToString) -> Self {
        Self::InvalidState { env: env.to_owned(), reason: reason.to_string() }
    }

    /// The error of an environment that panicked, from what `catch_unwind` caught.
    #[cold]
    pub fn panicked(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Panicked { message: text.unwrap_or_else(|| "no message".to_owned()) }
    }

    /// The error of a buffer of the wrong length.
    #[cold]
    pub fn buffer_length(what: &'static str, expected: usize, got: usize) -> Self {
        Self::BufferLength { what, expected, got }
    }
}

/// `Err` unless `got == expected`.
#[inline]
pub(crate) fn check_length(what: &'static str, got: usize, expected: usize) -> Result<(), EnvError> {
    if got == expected { Ok(()) } else { Err(EnvError::buffer_length(what, expected, got)) }
}

/// Errors unless `active` lists slots of `slots`, in increasing order.
pub(crate) fn check_active(active: &[u32], slots: usize) -> Result<(), EnvError> {
    // Without an early exit, so that it vectorises.
    let increasing = active.windows(2).fold(true, |ok, pair| ok & (pair[0] < pair[1]));
    if increasing && active.last().is_none_or(|&last| (last as usize) < slots) {
        return Ok(());
    }
    let wrong =
        |index: usize| active[index] as usize >= slots || index > 0 && active[index] <= active[index - 1];
    let index = (0..active.len()).find(|&index| wrong(index)).unwrap_or_default();
    Err(EnvError::InvalidSlots { slots, index, slot: active[index] as usize })
}

/// A fixed-size view of an observation buffer.
#[inline]
pub(crate) fn observation_array<const D: usize>(observation: &mut [f32]) -> Result<&mut [f32; D], EnvError> {
    let got = observation.len();
    observation.try_into().map_err(|_| EnvError::buffer_length("observation", D, got))
}
