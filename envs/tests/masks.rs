//! Action masks of native environments: they follow the observations across autoreset, and a mask that makes no sense is an
//! error that names the slot.
use relax_envs::check::{CheckOptions, Outcome, check_constructor};
use relax_envs::{
    ActionRef, Actions, Env, EnvError, EnvRng, MakeOptions, NativeVecEnv, Space, Step, StepBuffers, VecEnv,
};

/// Counts its steps, which are its observation; an episode has three. Its mask comes from `masks` by that number, and none
/// where that is empty.
struct Listed {
    t: usize,
    masks: [&'static [bool]; 4],
    spaces: [Space; 2],
}

impl Listed {
    fn slots(masks: [&'static [bool]; 4], actions: Space) -> (NativeVecEnv, StepBuffers) {
        let one = || -> Box<dyn Env> {
            Box::new(Self { t: 0, masks, spaces: [Space::uniform_box(0.0, 9.0, &[1]), actions.clone()] })
        };
        (NativeVecEnv::new("Listed-v0", vec![one(), one()]).unwrap(), StepBuffers::new(2, 1))
    }
}

impl Env for Listed {
    fn observation_space(&self) -> &Space {
        &self.spaces[0]
    }
    fn action_space(&self) -> &Space {
        &self.spaces[1]
    }
    fn reset(&mut self, _: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        self.t = 0;
        observation[0] = 0.0;
        Ok(())
    }
    fn step(&mut self, _: ActionRef<'_>, _: &mut EnvRng, observation: &mut [f32]) -> Result<Step, EnvError> {
        self.t += 1;
        observation[0] = self.t as f32;
        Ok(Step { reward: 0.0, terminated: self.t == 3, truncated: false })
    }
    fn action_mask(&self) -> Option<&[bool]> {
        let mask = self.masks[self.t];
        (!mask.is_empty()).then_some(mask)
    }
}

const ONE: &[bool] = &[true, false];
const OTHER: &[bool] = &[false, true];
const NONE: &[bool] = &[false, false];
const GOOD: [&[bool]; 4] = [ONE, OTHER, ONE, NONE];

#[test]
fn the_mask_follows_the_observation_and_the_last_one_is_kept() {
    let (mut envs, mut out) = Listed::slots(GOOD, Space::discrete(2));
    assert!(envs.action_masks().is_none());
    envs.reset(&[0, 1], &mut out.observations).unwrap();
    assert_eq!(envs.action_masks().unwrap(), [ONE, ONE].concat());
    for (active, expected) in [
        (&[0, 1][..], [OTHER, OTHER]),
        (&[1], [OTHER, ONE]),
        // Slot 1 ends here: its mask is that of the next episode, the last one forbids everything, and that is no error.
        (&[0, 1], [ONE, ONE]),
        (&[0], [ONE, ONE]),
    ] {
        envs.step(active, Actions::Discrete(&[0, 0][..active.len()]), &mut out).unwrap();
        assert_eq!(envs.action_masks().unwrap(), expected.concat());
        for (slot, mask) in expected.iter().enumerate() {
            assert_eq!(*mask, GOOD[out.observations[slot] as usize]);
        }
    }
    assert!(out.terminated[1] && out.final_observations == [3.0, 3.0]);
    assert_eq!(envs.final_action_masks().unwrap(), [NONE, NONE].concat());
}

#[test]
fn a_mask_that_makes_no_sense_is_an_error_that_names_the_slot() {
    let run = |masks, actions: Space| -> String {
        let (mut envs, mut out) = Listed::slots(masks, actions);
        let all: [u32; 2] = [0, 0];
        let steps = |envs: &mut NativeVecEnv, out: &mut StepBuffers| {
            envs.reset(&[4, 5], &mut out.observations)?;
            (0..3).try_for_each(|_| envs.step(&[0, 1], Actions::Discrete(&all), out))
        };
        steps(&mut envs, &mut out).unwrap_err().to_string()
    };
    let discrete = || Space::discrete(2);
    for (masks, expected) in [
        (
            [ONE, NONE, ONE, ONE],
            "slot 0, seed 4, episode 0 since that seed: the action mask allows no action",
        ),
        ([NONE, ONE, ONE, ONE], "after 0 steps of the episode, the action mask allows no action"),
        ([ONE, ONE, &[], ONE], "slot 0, seed 4, episode 0 since that seed: the action mask is missing"),
        ([ONE, &[true], ONE, ONE], "the action mask has 1 entries; the choices are 2 (2)"),
    ] {
        let error = run(masks, discrete());
        assert!(error.contains(expected), "{error}");
    }
    let boxes = run(GOOD, Space::uniform_box(-1.0, 1.0, &[1]));
    assert!(
        boxes.contains("has nothing to mask: the action space is Box(-1.0, 1.0, (1,), float32)"),
        "{boxes}"
    );
}

#[test]
fn the_checker_looks_at_masks() {
    let check = |masks: [&'static [bool]; 4]| {
        let build = move || -> Result<Box<dyn Env>, EnvError> {
            let spaces = [Space::uniform_box(0.0, 9.0, &[1]), Space::discrete(2)];
            Ok(Box::new(Listed { t: 0, masks, spaces }))
        };
        let report = check_constructor("Listed", &build, &CheckOptions { seed: 0, steps: 50 });
        report.checks.into_iter().find(|check| check.name == "action mask").unwrap()
    };
    let good = check(GOOD);
    assert_eq!(
        (good.outcome, good.message.as_str()),
        (Outcome::Passed, "1.0 of 2 choices are allowed on average")
    );
    assert_eq!(check([&[]; 4]).message, "nothing is masked");
    for masks in
        [[ONE, &[], ONE, ONE], [&[], ONE, ONE, ONE], [ONE, NONE, ONE, ONE], [ONE, &[true; 3], ONE, ONE]]
    {
        assert_eq!(check(masks).outcome, Outcome::Failed, "{masks:?}");
    }
}

#[test]
fn a_game_has_a_mask_unless_it_is_asked_for_none() {
    let masks = |flag: bool| {
        let kwargs = [("action_mask".to_owned(), relax_envs::Kwarg::Bool(flag))].into();
        let options = MakeOptions { kwargs, ..MakeOptions::default() };
        let mut envs = relax_envs::make_vec("TicTacToe-v0", 2, &options).unwrap();
        envs.reset(&[0, 1], &mut [0.0; 36]).unwrap();
        envs.action_masks().map(<[bool]>::len)
    };
    assert_eq!((masks(true), masks(false)), (Some(18), None));
}
