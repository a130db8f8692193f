//! The `Env` trait: what a new environment implements. Actions and steps are here too.

use crate::{EnvError, EnvRng, Frame, Kwargs, Space};

/// A borrowed action, as [`Env::step`] takes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ActionRef<'a> {
    /// Index `0..n` of a [`Space::Discrete`] (its `start` is a matter of display, not of this index).
    Discrete(usize),
    /// Values of a [`Space::Box`], flattened in row-major order.
    Box(&'a [f32]),
    /// One index per entry of a [`Space::MultiDiscrete`].
    MultiDiscrete(&'a [usize]),
    /// One flag per entry of a [`Space::MultiBinary`].
    MultiBinary(&'a [bool]),
}

impl ActionRef<'_> {
    /// In words, for messages: `index 3`, `4 values`.
    pub fn describe(&self) -> String {
        match self {
            Self::Discrete(index) => format!("index {index}"),
            Self::Box(values) if values.len() <= 8 => format!("values {values:?}"),
            Self::Box(values) => format!("{} values", values.len()),
            Self::MultiDiscrete(indices) => format!("indices {indices:?}"),
            Self::MultiBinary(flags) => format!("{} flags", flags.len()),
        }
    }
}

/// An owned action, as [`Space::sample`] returns it.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// See [`ActionRef::Discrete`].
    Discrete(usize),
    /// See [`ActionRef::Box`].
    Box(Vec<f32>),
    /// See [`ActionRef::MultiDiscrete`].
    MultiDiscrete(Vec<usize>),
    /// See [`ActionRef::MultiBinary`].
    MultiBinary(Vec<bool>),
}

impl Action {
    /// The borrowed form, to pass to [`Env::step`].
    pub fn as_action_ref(&self) -> ActionRef<'_> {
        match self {
            Self::Discrete(index) => ActionRef::Discrete(*index),
            Self::Box(values) => ActionRef::Box(values),
            Self::MultiDiscrete(indices) => ActionRef::MultiDiscrete(indices),
            Self::MultiBinary(flags) => ActionRef::MultiBinary(flags),
        }
    }
}

/// What one step returns beside the observation.
///
/// The two flags are Gymnasium's and are kept apart up to the computation of returns: after `terminated`
/// the value of what follows is zero; after `truncated` alone it must be bootstrapped from the last observation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Reward of the transition.
    pub reward: f64,
    /// The task reached an end of its own (goal, failure).
    pub terminated: bool,
    /// The episode was cut from outside the task, usually by a time limit.
    pub truncated: bool,
}

impl Step {
    /// Whether the episode is over for either reason.
    #[inline]
    pub fn ended(&self) -> bool {
        self.terminated || self.truncated
    }
}

/// One of [`Env::attributes`].
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A number.
    Number(f64),
    /// An array of them.
    Numbers(Vec<f64>),
}

/// A reinforcement-learning environment with Gymnasium's semantics.
///
/// Observations are written into a caller's buffer of [`observation_space`](Env::observation_space)`.flat_dim()`
/// values (a `Box` row-major, the discrete spaces as Gymnasium's `flatten` writes them, one-hot), so that stepping
/// allocates nothing. All randomness comes from the generator that is passed in: the environment has none of its
/// own, which makes an episode a function of the seed and the actions.
///
/// # Example
///
/// A one-dimensional walk that ends at ±3:
///
/// ```
/// use relax_envs::{ActionRef, Env, EnvError, EnvRng, Space, Step};
///
/// struct Walk { at: i32, observation_space: Space, action_space: Space }
///
/// impl Env for Walk {
///     fn observation_space(&self) -> &Space { &self.observation_space }
///     fn action_space(&self) -> &Space { &self.action_space }
///     fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
///         self.at = rng.integers(-1, 2) as i32;
///         observation[0] = self.at as f32;
///         Ok(())
///     }
///     fn step(&mut self, action: ActionRef<'_>, _: &mut EnvRng, observation: &mut [f32]) -> Result<Step, EnvError> {
///         match action {
///             ActionRef::Discrete(0) => self.at -= 1,
///             ActionRef::Discrete(1) => self.at += 1,
///             other => return Err(EnvError::invalid_action("Walk", &self.action_space, other.describe())),
///         }
///         observation[0] = self.at as f32;
///         Ok(Step { reward: 1.0, terminated: self.at.abs() == 3, truncated: false })
///     }
/// }
///
/// let mut walk = Walk { at: 0, observation_space: Space::uniform_box(-3.0, 3.0, &[1]), action_space: Space::discrete(2) };
/// let (mut rng, mut observation) = (EnvRng::from_seed(7), [0.0]);
/// walk.reset(&mut rng, &mut observation)?;
/// while !walk.step(ActionRef::Discrete(1), &mut rng, &mut observation)?.ended() {}
/// assert_eq!(observation, [3.0]);
/// # Ok::<(), EnvError>(())
/// ```
pub trait Env: Send {
    /// The space that observations lie in.
    fn observation_space(&self) -> &Space;

    /// The space that actions are taken from.
    fn action_space(&self) -> &Space;

    /// Starts an episode and writes its first observation, `[flat_dim]`.
    ///
    /// # Errors
    ///
    /// A buffer of the wrong length, or the environment's own failure.
    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError>;

    /// As [`reset`](Env::reset), with the options of Gymnasium's `reset(options=…)`: what they mean is the environment's own.
    ///
    /// # Errors
    ///
    /// [`EnvError::ResetOption`] for an option that the environment does not have, which is any unless it offers some.
    fn reset_with(
        &mut self,
        options: &Kwargs,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<(), EnvError> {
        match options.keys().next() {
            None => self.reset(rng, observation),
            Some(key) => Err(EnvError::ResetOption {
                env: std::any::type_name::<Self>().to_owned(),
                reason: format!("there is no `{key}`: it takes none"),
            }),
        }
    }

    /// Takes one step and writes the observation after it, `[flat_dim]`.
    ///
    /// Continuous actions beyond the bounds of the action space are treated as Gymnasium's environment of that
    /// name treats them (the classic ones clip the torque or force they apply).
    ///
    /// # Errors
    ///
    /// An action of the wrong type, length or index; a NaN action; a step while no episode runs.
    fn step(
        &mut self,
        action: ActionRef<'_>,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError>;

    /// Which choices are allowed at the latest observation: one entry a choice of every factor of the action space
    /// ([`Space::choices`]), `true` where it is allowed. `None`, as by default, if the environment masks nothing; it has a
    /// mask after every [`reset`](Env::reset), [`step`](Env::step) and [`load_state`](Env::load_state), or after none.
    ///
    /// Policies never take what is not allowed, and learn as if it were not there. While an episode runs, one choice of
    /// every factor must be allowed; after an end any mask will do. A wrapper passes the mask on.
    ///
    /// ```
    /// let mut game = relax_envs::make("TicTacToe-v0", &Default::default())?;
    /// let mut board = [0.0; 18];
    /// game.reset(&mut relax_envs::EnvRng::from_seed(1), &mut board)?;
    /// let taken = (0..9).filter(|&cell| board[cell] + board[9 + cell] > 0.0);
    /// assert!(taken.clone().count() <= 1);      // the other player may have begun
    /// assert!(game.action_mask().is_some_and(|mask| taken.clone().all(|cell| !mask[cell])));
    /// # Ok::<(), relax_envs::EnvError>(())
    /// ```
    fn action_mask(&self) -> Option<&[bool]> {
        None
    }

    /// A picture of the current state, if the environment can draw itself and an episode has been started.
    fn render(&self) -> Option<Frame> {
        None
    }

    /// Numbers of the environment by the names that Gymnasium's has them under: constants such as "gravity", and "state".
    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        Vec::new()
    }

    /// Changes one of the [`attributes`](Env::attributes).
    ///
    /// # Errors
    ///
    /// [`EnvError::FixedAttribute`] unless the environment lets it be changed.
    fn set_attribute(&mut self, name: &str, value: f64) -> Result<(), EnvError> {
        let _ = value;
        Err(EnvError::FixedAttribute { env: std::any::type_name::<Self>().to_owned(), name: name.to_owned() })
    }

    /// The part in here that keeps running statistics of what passes through it, such as the wrapper `NormalizeReward`, if
    /// there is one. Training refuses it: evaluation and the other environments of a run would not share them. A wrapper
    /// passes the question on.
    fn running_statistics(&self) -> Option<String> {
        None
    }

    /// Appends everything that [`load_state`](Env::load_state) needs to continue bit for bit (without the generator,
    /// which the caller owns). A wrapper pushes its own numbers and then the inner environment's.
    ///
    /// # Errors
    ///
    /// [`EnvError::StateUnsupported`], unless the environment offers it.
    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        let _ = state;
        Err(EnvError::StateUnsupported { env: std::any::type_name::<Self>().to_owned() })
    }

    /// Takes back what [`save_state`](Env::save_state) wrote, consuming it from the front of `state`.
    ///
    /// # Errors
    ///
    /// [`EnvError::InvalidState`] if the numbers are too few or cannot be a state of this environment; it never
    /// panics on them. [`EnvError::StateUnsupported`], unless the environment offers it.
    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let _ = state;
        Err(EnvError::StateUnsupported { env: std::any::type_name::<Self>().to_owned() })
    }
}

impl<E: Env + ?Sized> Env for Box<E> {
    fn observation_space(&self) -> &Space {
        (**self).observation_space()
    }
    fn action_space(&self) -> &Space {
        (**self).action_space()
    }
    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        (**self).reset(rng, observation)
    }
    #[inline]
    fn step(
        &mut self,
        action: ActionRef<'_>,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        (**self).step(action, rng, observation)
    }
    fn action_mask(&self) -> Option<&[bool]> {
        (**self).action_mask()
    }
    fn render(&self) -> Option<Frame> {
        (**self).render()
    }
    fn reset_with(
        &mut self,
        options: &Kwargs,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<(), EnvError> {
        (**self).reset_with(options, rng, observation)
    }
    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        (**self).attributes()
    }
    fn set_attribute(&mut self, name: &str, value: f64) -> Result<(), EnvError> {
        (**self).set_attribute(name, value)
    }
    fn running_statistics(&self) -> Option<String> {
        (**self).running_statistics()
    }
    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        (**self).save_state(state)
    }
    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        (**self).load_state(state)
    }
}
