//! The environment checker passes the built-in environments and catches each fault of a deliberately broken one.
use std::sync::atomic::{AtomicU64, Ordering};

use relax_envs::check::{CheckOptions, Outcome, check_constructor, check_env};
use relax_envs::{
    ActionRef, Env, EnvError, EnvRng, Frame, MakeOptions, Space, StateReader, Step, WrapperConfig, ids,
};

#[test]
fn the_built_in_environments_pass() {
    for id in ids() {
        let report = check_env(&id, &MakeOptions::default(), &CheckOptions::default());
        assert!(report.passed(), "{report}");
        let skipped: Vec<_> =
            report.checks.iter().filter(|check| check.outcome == Outcome::Skipped).map(|c| c.name).collect();
        assert!(skipped.is_empty(), "{id}: {skipped:?}");
    }
}

#[test]
fn wrapped_environments_pass() {
    let wrappers = vec![
        WrapperConfig::ClipAction {},
        WrapperConfig::NormalizeObservation {},
        WrapperConfig::NormalizeReward { gamma: 0.99 },
        WrapperConfig::FrameStack { size: 3 },
    ];
    let options = MakeOptions { wrappers, max_episode_steps: Some(60), ..MakeOptions::default() };
    let report = check_env("Pendulum-v1", &options, &CheckOptions::default());
    assert!(report.passed(), "{report}");
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    Constructor,
    ObservationSpace,
    ActionSpace,
    ResetLeavesOut,
    StepLeavesOut,
    InfiniteReward,
    InfiniteObservation,
    OutOfBounds,
    OwnRandomness,
    EndSticks,
    StepsBeforeReset,
    StepsAfterEnd,
    TakesAnyIndex,
    PanicsOnWrongKind,
    ForgetsState,
    LeavesNumbers,
    TakesShortState,
    TakesNan,
    PanicsOnShortState,
    PictureTooSmall,
}

/// A walk on −5..5 that ends after ten steps, with one fault.
struct Broken {
    fault: Fault,
    at: f64,
    t: u32,
    running: bool,
    observation_space: Space,
    action_space: Space,
}

static OWN_RANDOMNESS: AtomicU64 = AtomicU64::new(0);

impl Broken {
    fn build(fault: Fault) -> Result<Box<dyn Env>, EnvError> {
        if fault == Fault::Constructor {
            return Err(EnvError::Custom { env: "Broken".into(), source: "no parts".into() });
        }
        let (low, n) = (
            if fault == Fault::ObservationSpace { 9.0 } else { -5.0 },
            if fault == Fault::ActionSpace { 0 } else { 2 },
        );
        let observation_space = Space::bounded(&[low, 0.0], &[5.0, 10.0]);
        let action_space = Space::discrete(n);
        Ok(Box::new(Self { fault, at: 0.0, t: 0, running: false, observation_space, action_space }))
    }

    fn observe(&self, observation: &mut [f32]) {
        observation.copy_from_slice(&[self.at as f32, self.t as f32]);
    }
}

impl Env for Broken {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        self.at = rng.uniform(-1.0, 1.0);
        if self.fault != Fault::EndSticks {
            self.t = 0;
        }
        self.running = true;
        if self.fault == Fault::OwnRandomness {
            self.at = OWN_RANDOMNESS.fetch_add(1, Ordering::Relaxed) as f64 / 1e6;
        }
        if self.fault == Fault::ResetLeavesOut {
            observation[0] = self.at as f32;
        } else {
            self.observe(observation);
        }
        if self.fault == Fault::OutOfBounds {
            observation[0] = -6.0;
        }
        Ok(())
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        let tolerated = match self.fault {
            Fault::StepsBeforeReset => self.t == 0,
            Fault::StepsAfterEnd => self.t > 0,
            _ => false,
        };
        if !self.running && !tolerated {
            return Err(EnvError::needs_reset("Broken"));
        }
        let direction = match action {
            ActionRef::Discrete(index) if index < 2 || self.fault == Fault::TakesAnyIndex => {
                index as f64 - 0.5
            }
            ActionRef::Box(_) if self.fault == Fault::PanicsOnWrongKind => panic!("a box?"),
            other => return Err(EnvError::invalid_action("Broken", &self.action_space, other.describe())),
        };
        self.at = (self.at + direction * rng.random()).clamp(-5.0, 5.0);
        self.t = (self.t + 1).min(10);
        self.running = self.t < 10;
        self.observe(observation);
        match self.fault {
            Fault::StepLeavesOut => observation[1] = f32::NAN,
            Fault::InfiniteObservation if self.t == 5 => observation[0] = f32::INFINITY,
            _ => {}
        }
        let reward = if self.fault == Fault::InfiniteReward && self.t == 5 { f64::INFINITY } else { 1.0 };
        Ok(Step { reward, terminated: !self.running, truncated: false })
    }

    fn render(&self) -> Option<Frame> {
        let bytes = if self.fault == Fault::PictureTooSmall { 11 } else { 12 };
        Some(Frame { width: 2, height: 2, rgb: vec![0; bytes] })
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        state.extend([self.at, f64::from(self.t), f64::from(u8::from(self.running))]);
        if self.fault == Fault::LeavesNumbers {
            state.insert(3, 0.0);
        }
        Ok(())
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        if self.fault == Fault::TakesShortState && state.is_empty() {
            return Ok(());
        }
        if self.fault == Fault::PanicsOnShortState {
            assert!(state.len() == 3, "short");
        }
        let take_nan = self.fault == Fault::TakesNan && state.first().is_some_and(|v| v.is_nan());
        let mut reader = StateReader::new("Broken", state);
        let at = match reader.within("at", -5.0, 5.0) {
            Err(_) if take_nan => 0.0,
            other => other?,
        };
        let (t, running) = (reader.count("t")?, reader.flag("running")?);
        if self.fault != Fault::ForgetsState {
            self.at = at;
        }
        (self.t, self.running) = (t, running);
        Ok(())
    }
}

#[test]
fn every_fault_is_caught_by_its_check() {
    let sound = check_constructor("Broken", &|| Broken::build(Fault::None), &CheckOptions::default());
    assert!(sound.passed(), "{sound}");

    let caught_by = [
        (Fault::Constructor, "builds"),
        (Fault::ObservationSpace, "observation space"),
        (Fault::ActionSpace, "action space"),
        (Fault::ResetLeavesOut, "reset writes the observation"),
        (Fault::StepLeavesOut, "step writes the observation"),
        (Fault::InfiniteReward, "finite values"),
        (Fault::InfiniteObservation, "finite values"),
        (Fault::OutOfBounds, "observations in their space"),
        (Fault::OwnRandomness, "same seed, same episode"),
        (Fault::EndSticks, "episodes after an end"),
        (Fault::StepsBeforeReset, "no step before reset"),
        (Fault::StepsAfterEnd, "no step after an end"),
        (Fault::TakesAnyIndex, "wrong actions are refused"),
        (Fault::PanicsOnWrongKind, "wrong actions are refused"),
        (Fault::ForgetsState, "save and load continue"),
        (Fault::LeavesNumbers, "save and load continue"),
        (Fault::TakesShortState, "broken states are refused"),
        (Fault::TakesNan, "broken states are refused"),
        (Fault::PanicsOnShortState, "broken states are refused"),
        (Fault::PictureTooSmall, "picture"),
    ];
    for (fault, name) in caught_by {
        let report = check_constructor("Broken", &|| Broken::build(fault), &CheckOptions::default());
        assert!(report.failures().any(|check| check.name == name), "{fault:?} passed `{name}`:\n{report}");
        assert!(report.to_string().contains("FAILED"));
        // Each fault is found by its own check alone, but for those whose effects spread.
        if !matches!(
            fault,
            Fault::InfiniteObservation | Fault::EndSticks | Fault::OwnRandomness | Fault::LeavesNumbers
        ) {
            let names: Vec<_> = report.failures().map(|check| check.name).collect();
            assert_eq!(names, [name], "{fault:?}\n{report}");
        }
    }
}

#[test]
fn an_unknown_id_is_a_failed_check() {
    let report = check_env("Nothing-v0", &MakeOptions::default(), &CheckOptions::default());
    assert_eq!(report.checks.len(), 1);
    assert!(!report.passed());
}
