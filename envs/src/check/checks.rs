//! The single checks, in the order in which they run.

use super::{Build, CheckOptions, Refusal, Verdict};
use crate::{Action, ActionRef, Env, EnvError, EnvRng, Space, Step};

type CheckFn = fn(Build<'_>, &CheckOptions) -> Verdict;

/// Name, whether later checks make no sense if it fails, and the check.
pub(super) const CHECKS: &[(&str, bool, CheckFn)] = &[
    ("builds", true, builds),
    ("observation space", true, observation_space),
    ("action space", true, action_space),
    ("reset writes the observation", true, reset_writes),
    ("step writes the observation", true, step_writes),
    ("finite values", false, finite),
    ("observations in their space", false, in_space),
    ("same seed, same episode", false, deterministic),
    ("episodes after an end", false, restarts),
    ("no step before reset", false, before_reset),
    ("no step after an end", false, after_end),
    ("wrong actions are refused", false, wrong_actions),
    ("action mask", false, action_mask),
    ("save and load continue", false, save_load),
    ("broken states are refused", false, broken_states),
    ("picture", false, picture),
];

fn fail<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Failed(message.into()))
}

fn skip<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Skipped(message.into()))
}

/// An environment under a random walk.
struct Walk {
    env: Box<dyn Env>,
    rng: EnvRng,
    actions: EnvRng,
    observation: Vec<f32>,
}

impl Walk {
    /// A fresh environment after its first reset.
    fn start(build: Build<'_>, seed: u64) -> Result<Self, Refusal> {
        let mut walk = Self::unstarted(build, seed)?;
        walk.reset()?;
        Ok(walk)
    }

    fn unstarted(build: Build<'_>, seed: u64) -> Result<Self, Refusal> {
        let env = build()?;
        let observation = vec![f32::NAN; env.observation_space().flat_dim()];
        let actions = EnvRng::from_seed_sequence(seed, &[1]);
        Ok(Self { env, rng: EnvRng::from_seed(seed), actions, observation })
    }

    /// Fills the buffer with NaN first, so that what the environment does not write is seen.
    fn reset(&mut self) -> Result<(), EnvError> {
        self.observation.fill(f32::NAN);
        self.env.reset(&mut self.rng, &mut self.observation)
    }

    fn step(&mut self) -> Result<Step, EnvError> {
        let space = self.env.action_space();
        let action = match self.env.action_mask() {
            Some(mask) => space.sample_masked(mask, &mut self.actions),
            None => space.sample(&mut self.actions),
        };
        self.observation.fill(f32::NAN);
        self.env.step(action.as_action_ref(), &mut self.rng, &mut self.observation)
    }

    /// Up to `steps` steps with resets after ends; `watch` sees each, and every reset as `None`.
    fn run(
        &mut self,
        steps: usize,
        mut watch: impl FnMut(usize, Option<Step>, &[f32]) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        for t in 0..steps {
            let step = self.step()?;
            watch(t, Some(step), &self.observation)?;
            if step.ended() {
                self.reset()?;
                watch(t, None, &self.observation)?;
            }
        }
        Ok(())
    }

    /// Steps until an episode ends; `false` if none does.
    fn run_to_end(&mut self, steps: usize) -> Result<bool, EnvError> {
        for _ in 0..steps {
            if self.step()?.ended() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Longer than any usual time limit: some checks need an end.
fn steps_to_an_end(options: &CheckOptions) -> usize {
    options.steps.max(20_000)
}

fn builds(build: Build<'_>, _: &CheckOptions) -> Verdict {
    build()?;
    Ok("the constructor returns an environment".to_owned())
}

fn observation_space(build: Build<'_>, _: &CheckOptions) -> Verdict {
    let env = build()?;
    env.observation_space().validate()?;
    Ok(env.observation_space().to_string())
}

fn action_space(build: Build<'_>, _: &CheckOptions) -> Verdict {
    let env = build()?;
    env.action_space().validate()?;
    Ok(env.action_space().to_string())
}

fn written(values: &[f32], when: &str) -> Verdict {
    match values.iter().position(|v| v.is_nan()) {
        Some(i) => fail(format!("element {i} of {} is NaN or not written {when}", values.len())),
        None => Ok(format!("{} values", values.len())),
    }
}

fn reset_writes(build: Build<'_>, options: &CheckOptions) -> Verdict {
    written(&Walk::start(build, options.seed)?.observation, "by reset")
}

fn step_writes(build: Build<'_>, options: &CheckOptions) -> Verdict {
    let mut walk = Walk::start(build, options.seed)?;
    walk.step()?;
    written(&walk.observation, "by step")
}

fn finite(build: Build<'_>, options: &CheckOptions) -> Verdict {
    let mut walk = Walk::start(build, options.seed)?;
    walk.run(options.steps, |t, step, observation| {
        if let Some(i) = observation.iter().position(|v| !v.is_finite()) {
            return fail(format!("step {t}: observation[{i}] is {}", observation[i]));
        }
        match step {
            Some(Step { reward, .. }) if !reward.is_finite() => {
                fail(format!("step {t}: the reward is {reward}"))
            }
            _ => Ok(()),
        }
    })?;
    Ok(format!("observations and rewards of {} random steps", options.steps))
}

fn in_space(build: Build<'_>, options: &CheckOptions) -> Verdict {
    let mut walk = Walk::start(build, options.seed)?;
    let space = walk.env.observation_space().clone();
    let inside = |t: usize, observation: &[f32]| {
        if space.contains_observation(observation) {
            return Ok(());
        }
        let shown = &observation[..observation.len().min(8)];
        fail(format!("step {t}: {shown:?} is not in {space}"))
    };
    inside(0, &walk.observation)?;
    walk.run(options.steps, |t, _, observation| inside(t, observation))?;
    Ok(format!("{} random steps", options.steps))
}

fn deterministic(build: Build<'_>, options: &CheckOptions) -> Verdict {
    let record = || -> Result<Vec<u64>, Refusal> {
        let mut walk = Walk::start(build, options.seed)?;
        let mut bits: Vec<u64> = walk.observation.iter().map(|v| u64::from(v.to_bits())).collect();
        walk.run(options.steps, |_, step, observation| {
            bits.extend(observation.iter().map(|v| u64::from(v.to_bits())));
            let Step { reward, terminated, truncated } = step.unwrap_or_default();
            bits.extend([reward.to_bits(), terminated.into(), truncated.into()]);
            Ok(())
        })?;
        bits.extend(walk.rng.state());
        Ok(bits)
    };
    if record()? != record()? {
        return fail(format!(
            "two fresh copies with seed {} and the same actions went different ways; draw all randomness from the \
             generator that is passed in",
            options.seed
        ));
    }
    Ok(format!("two fresh copies agree bit for bit over {} steps", options.steps))
}

fn restarts(build: Build<'_>, options: &CheckOptions) -> Verdict {
    let mut walk = Walk::start(build, options.seed)?;
    if !walk.run_to_end(steps_to_an_end(options))? {
        return skip(format!("no episode ended within {} steps", steps_to_an_end(options)));
    }
    walk.reset()?;
    if walk.observation.iter().any(|v| !v.is_finite()) {
        return fail("the first observation after an end is not finite");
    }
    if walk.step()?.ended() && walk.reset().is_ok() && walk.step()?.ended() {
        return fail("after the first end every episode ends in its first step; reset must clear the end");
    }
    Ok("a new episode runs after an end".to_owned())
}

fn before_reset(build: Build<'_>, options: &CheckOptions) -> Verdict {
    match Walk::unstarted(build, options.seed)?.step() {
        Ok(_) => fail("a step before the first reset was accepted; return EnvError::NeedsReset"),
        Err(error) => Ok(error.to_string()),
    }
}

fn after_end(build: Build<'_>, options: &CheckOptions) -> Verdict {
    let mut walk = Walk::start(build, options.seed)?;
    if !walk.run_to_end(steps_to_an_end(options))? {
        return skip(format!("no episode ended within {} steps", steps_to_an_end(options)));
    }
    match walk.step() {
        Ok(_) => fail("a step after the end of an episode was accepted; return EnvError::NeedsReset"),
        Err(error) => Ok(error.to_string()),
    }
}

/// An action of another kind, and one of the right kind that is too long or too large.
fn actions_outside(space: &Space) -> [Action; 2] {
    match space {
        Space::Discrete { n, .. } => [Action::Discrete(*n), Action::Box(vec![0.0])],
        Space::Box { low, .. } => [Action::Box(vec![0.0; low.len() + 1]), Action::Discrete(0)],
        Space::MultiDiscrete { nvec } => [Action::MultiDiscrete(nvec.clone()), Action::Discrete(0)],
        Space::MultiBinary { n } => [Action::MultiBinary(vec![true; n + 1]), Action::Discrete(0)],
    }
}

fn wrong_actions(build: Build<'_>, options: &CheckOptions) -> Verdict {
    let mut messages = Vec::new();
    for action in actions_outside(build()?.action_space()) {
        let Walk { mut env, mut rng, mut observation, .. } = Walk::start(build, options.seed)?;
        let action: ActionRef<'_> = action.as_action_ref();
        match env.step(action, &mut rng, &mut observation) {
            Ok(_) => {
                let (got, space) = (action.describe(), env.action_space());
                return fail(format!("{got} was accepted, but the action space is {space}"));
            }
            Err(error) => messages.push(error.to_string()),
        }
    }
    Ok(messages.swap_remove(0))
}

fn action_mask(build: Build<'_>, options: &CheckOptions) -> Verdict {
    let mut walk = Walk::start(build, options.seed)?;
    let declared = walk.env.action_mask().is_some();
    let mut allowed = 0;
    for t in 0..options.steps {
        match walk.env.action_mask() {
            None if !declared => {}
            None => {
                return fail(format!(
                    "step {t}: there is no mask any more; there was one after the first reset"
                ));
            }
            Some(_) if !declared => {
                return fail(format!("step {t}: there is a mask; there was none after the first reset"));
            }
            Some(mask) => {
                crate::check_action_mask(walk.env.action_space(), mask)?;
                allowed += mask.iter().filter(|&&allowed| allowed).count();
            }
        }
        if walk.step()?.ended() {
            walk.reset()?;
        }
    }
    if !declared {
        return Ok("nothing is masked".to_owned());
    }
    let mean = allowed as f64 / options.steps.max(1) as f64;
    Ok(format!(
        "{mean:.1} of {} choices are allowed on average",
        walk.env.action_mask().map_or(0, <[bool]>::len)
    ))
}

/// A walk some steps into an episode, and its saved state.
fn saved(build: Build<'_>, options: &CheckOptions) -> Result<(Walk, Vec<f64>), Refusal> {
    let mut walk = Walk::start(build, options.seed)?;
    let mut state = Vec::new();
    match walk.env.save_state(&mut state) {
        Err(EnvError::StateUnsupported { .. }) => return skip("save_state is not offered"),
        other => other?,
    }
    walk.run(7, |_, _, _| Ok(()))?;
    state.clear();
    walk.env.save_state(&mut state)?;
    Ok((walk, state))
}

fn save_load(build: Build<'_>, options: &CheckOptions) -> Verdict {
    let (mut original, state) = saved(build, options)?;
    // The copy starts from another seed, so that what is not saved is noticed.
    let mut copy = Walk::start(build, options.seed.wrapping_add(1))?;
    let mut rest = state.as_slice();
    copy.env.load_state(&mut rest)?;
    if !rest.is_empty() {
        return fail(format!("load_state left {} of {} numbers unread", rest.len(), state.len()));
    }
    (copy.rng, copy.actions) = (original.rng.clone(), original.actions.clone());
    let steps = options.steps.min(1000);
    let mut expected = Vec::new();
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    original.run(steps, |_, step, observation| {
        expected.push((step, bits(observation)));
        Ok(())
    })?;
    let mut expected = expected.into_iter();
    copy.run(steps, |t, step, observation| {
        if expected.next() == Some((step, bits(observation))) {
            Ok(())
        } else {
            fail(format!("{t} steps after loading, the copy went another way than the original"))
        }
    })?;
    Ok(format!("{} numbers; continues bit for bit over {steps} steps", state.len()))
}

fn broken_states(build: Build<'_>, options: &CheckOptions) -> Verdict {
    let (mut walk, state) = saved(build, options)?;
    for length in 0..state.len() {
        if walk.env.load_state(&mut &state[..length]).is_ok() {
            return fail(format!("load_state took {length} of {} numbers", state.len()));
        }
    }
    for value in [f64::NAN, f64::INFINITY] {
        for i in 0..state.len() {
            let mut state = state.clone();
            state[i] = value;
            if walk.env.load_state(&mut state.as_slice()).is_ok() {
                return fail(format!("load_state took {value} as number {i}"));
            }
        }
    }
    Ok("too short, NaN and infinite states".to_owned())
}

fn picture(build: Build<'_>, options: &CheckOptions) -> Verdict {
    let mut walk = Walk::start(build, options.seed)?;
    walk.step()?;
    match walk.env.render() {
        None => skip("render returns no picture"),
        Some(frame) if frame.rgb.len() != 3 * frame.width as usize * frame.height as usize => fail(format!(
            "{} bytes for {}x{} pixels of three bytes",
            frame.rgb.len(),
            frame.width,
            frame.height
        )),
        Some(frame) => Ok(format!("{}x{} pixels", frame.width, frame.height)),
    }
}
