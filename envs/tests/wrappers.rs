//! Wrappers against Gymnasium 1.4.0 and against direct computation.
use relax_envs::classic::{CartPole, Pendulum};
use relax_envs::wrappers::{
    Bins, ClipAction, DiscretizeAction, FrameStack, NormalizeObservation, NormalizeReward, ObservationScale,
    OrderEnforcing, PerElement, RunningMeanStd, TimeLimit,
};
use relax_envs::{ActionRef, Env, EnvError, EnvRng, Space, Step, WrapperConfig};

/// Observations (resets included) and rewards of `steps` steps from seed 8.
fn roll(
    env: &mut dyn Env,
    steps: usize,
    action: impl Fn(usize) -> (usize, f32),
) -> (Vec<Vec<f32>>, Vec<f64>) {
    let mut rng = EnvRng::from_seed(8);
    let mut observation = vec![0.0; env.observation_space().flat_dim()];
    env.reset(&mut rng, &mut observation).unwrap();
    let (mut observations, mut rewards) = (vec![observation.clone()], Vec::new());
    for t in 0..steps {
        let (index, value) = action(t);
        let step = match env.action_space() {
            Space::Discrete { .. } => env.step(ActionRef::Discrete(index), &mut rng, &mut observation),
            _ => env.step(ActionRef::Box(&[value]), &mut rng, &mut observation),
        }
        .unwrap();
        observations.push(observation.clone());
        rewards.push(step.reward);
        if step.ended() {
            env.reset(&mut rng, &mut observation).unwrap();
            observations.push(observation.clone());
        }
    }
    (observations, rewards)
}

fn cart_pole() -> TimeLimit<CartPole> {
    TimeLimit::new(CartPole::new(false), 500).unwrap()
}

fn pendulum() -> TimeLimit<Pendulum> {
    TimeLimit::new(Pendulum::new(10.0), 200).unwrap()
}

fn torque(t: usize) -> (usize, f32) {
    (0, (t * 37 % 17) as f32 / 4.0 - 2.0)
}

#[test]
fn time_limit_truncates_and_refuses_to_run_on() {
    let mut env = TimeLimit::new(Pendulum::new(10.0), 3).unwrap();
    let (mut rng, mut observation) = (EnvRng::from_seed(0), [0.0; 3]);
    let action = ActionRef::Box(&[0.0]);
    let needs_reset = |result| matches!(result, Err(EnvError::NeedsReset { .. }));
    assert!(needs_reset(env.step(action, &mut rng, &mut observation)));
    for _ in 0..2 {
        env.reset(&mut rng, &mut observation).unwrap();
        let flags: Vec<bool> = (0..3)
            .map(|_| env.step(action, &mut rng, &mut observation).unwrap())
            .map(|step| !step.terminated && step.truncated)
            .collect();
        assert_eq!(flags, [false, false, true]);
        assert!(needs_reset(env.step(action, &mut rng, &mut observation)));
    }
    assert!(TimeLimit::new(Pendulum::new(10.0), 0).is_err());

    // Both flags when the last allowed step also terminates, as in Gymnasium.
    let push = ActionRef::Discrete(1);
    let mut rng = EnvRng::from_seed(1);
    let mut env = OrderEnforcing::new(CartPole::new(false));
    let mut observation = [0.0; 4];
    env.reset(&mut rng, &mut observation).unwrap();
    let mut steps = 1;
    while !env.step(push, &mut rng, &mut observation).unwrap().ended() {
        steps += 1;
    }
    assert!(needs_reset(env.step(push, &mut rng, &mut observation)));
    let mut env = TimeLimit::new(CartPole::new(false), steps).unwrap();
    env.reset(&mut EnvRng::from_seed(1), &mut observation).unwrap();
    let last = (0..steps).map(|_| env.step(push, &mut rng, &mut observation).unwrap()).last().unwrap();
    assert!(last.terminated && last.truncated);
}

#[test]
fn running_moments_are_those_of_all_samples() {
    let mut rng = EnvRng::from_seed(2);
    let samples: Vec<[f64; 2]> =
        (0..5000).map(|_| [rng.standard_normal() * 3.0 + 7.0, rng.random()]).collect();
    let mut running = RunningMeanStd::new(2);
    for sample in &samples {
        running.update(*sample);
    }
    // Directly: the prior is 10⁻⁴ samples of mean 0 and variance 1.
    let (prior, n) = (1e-4, samples.len() as f64);
    for i in 0..2 {
        let total = prior + n;
        let mean = samples.iter().map(|s| s[i]).sum::<f64>() / total;
        let squares = samples.iter().map(|s| (s[i] - mean).powi(2)).sum::<f64>();
        let variance = (squares + prior * (1.0 + mean * mean)) / total;
        assert!((running.mean()[i] / mean - 1.0).abs() < 1e-12);
        assert!((running.variance()[i] / variance - 1.0).abs() < 1e-11);
    }
    assert!((running.count() - n - prior).abs() < 1e-9);
}

#[test]
fn normalize_reward_is_gymnasiums() {
    let mut env = NormalizeReward::new(pendulum(), 0.9).unwrap();
    let (_, rewards) = roll(&mut env, 250, torque);
    let seen = [rewards[0], rewards[1], rewards[99], rewards[249]];
    assert_eq!(seen, [-78.82840902769998, -2.242190200941487, -0.6728214410858427, -0.28273736097570773]);

    let mut env = NormalizeReward::new(cart_pole(), 0.99).unwrap();
    let (_, rewards) = roll(&mut env, 120, |t| (t / 2 % 2, 0.0));
    let seen = [rewards[0], rewards[1], rewards[60], rewards[119]];
    assert_eq!(seen, [70.71421321062337, 2.019586009822606, 0.16525396821930238, 0.13995824704724463]);

    env.set_updating(false);
    let before = env.statistics().clone();
    roll(&mut env, 10, |_| (0, 0.0));
    assert_eq!(*env.statistics(), before);
    assert!(NormalizeReward::new(cart_pole(), 1.5).is_err());
}

#[test]
fn normalize_observation_is_gymnasiums() {
    let mut env = NormalizeObservation::new(cart_pole()).unwrap();
    let (observations, _) = roll(&mut env, 120, |t| (t / 2 % 2, 0.0));
    assert_eq!(observations.len(), 125);
    let known = [
        (0, [-0.00017301384, 0.00048669066, -0.00018120561, 0.00028840373]),
        (1, [0.068614825, -0.9974196, 0.0406376, 0.99883616]),
        (50, [1.6591482, 0.9083619, -2.1018858, -1.6825062]),
        (124, [0.021251784, 1.1501045, 0.31183058, -0.43792078]),
    ];
    for (index, expected) in known {
        for (seen, expected) in observations[index].iter().zip(expected) {
            // Gymnasium's own statistics are float32.
            assert!(
                (seen - expected).abs() < 2e-5 * expected.abs().max(0.1),
                "{index}: {seen} for {expected}"
            );
        }
    }
    // Directly: the last observation against the moments of everything seen.
    let (raw, _) = roll(&mut cart_pole(), 120, |t| (t / 2 % 2, 0.0));
    let mut moments = RunningMeanStd::new(4);
    raw.iter().for_each(|o| moments.update(o.iter().map(|&v| f64::from(v))));
    assert_eq!(moments, *env.statistics());
    for i in 0..4 {
        let expected = (f64::from(raw[124][i]) - moments.mean()[i]) / (moments.variance()[i] + 1e-8).sqrt();
        assert_eq!(observations[124][i], expected as f32);
    }
}

#[test]
fn frame_stack_repeats_the_first_observation() {
    let mut env = FrameStack::new(cart_pole(), 3).unwrap();
    assert_eq!(env.observation_space().shape(), [3, 4]);
    let (stacked, _) = roll(&mut env, 60, |_| (1, 0.0));
    let (raw, _) = roll(&mut cart_pole(), 60, |_| (1, 0.0));
    assert_eq!(stacked.len(), raw.len());
    assert_eq!(stacked[0], raw[0].repeat(3));
    assert_eq!(stacked[2], raw[..3].concat());
    // Gymnasium's third stack, first and last number.
    assert_eq!((stacked[2][0], stacked[2][11]), (-0.017302772, -0.56765914));
    let second_reset = (1..raw.len()).find(|&i| raw[i].iter().all(|v| v.abs() <= 0.05)).unwrap();
    assert_eq!(stacked[second_reset], raw[second_reset].repeat(3));
    assert_eq!(stacked[second_reset - 1], raw[second_reset - 3..second_reset].concat());
    assert!(FrameStack::new(cart_pole(), 0).is_err());
    assert!(FrameStack::new(cart_pole(), usize::MAX).is_err());
}

#[test]
fn clip_action_clips() {
    let mut clipped = ClipAction::new(pendulum()).unwrap();
    assert_eq!(clipped.action_space().to_string(), "Box(-inf, inf, (1,), float32)");
    let (a, _) = roll(&mut clipped, 20, |t| (0, if t % 2 == 0 { 9.0 } else { -0.5 }));
    let (b, _) = roll(&mut pendulum(), 20, |t| (0, if t % 2 == 0 { 2.0 } else { -0.5 }));
    assert_eq!(a, b);
    let (mut rng, mut observation) = (EnvRng::from_seed(0), [0.0; 3]);
    for action in [ActionRef::Box(&[f32::NAN]), ActionRef::Box(&[0.0, 0.0]), ActionRef::Discrete(0)] {
        let error = clipped.step(action, &mut rng, &mut observation).unwrap_err();
        assert!(matches!(error, EnvError::InvalidAction { .. }), "{error}");
    }
    assert!(ClipAction::new(cart_pole()).is_err());
}

/// The middles are Gymnasium 1.4.0's `bin_centers`.
#[test]
fn discretize_action_makes_choices_of_numbers() {
    let centres = |bins: usize| -> Vec<f32> {
        let mut env = DiscretizeAction::new(Probe::new(1, 2.0), &Bins::All(bins), false).unwrap();
        let (mut rng, mut observation) = (EnvRng::from_seed(0), [0.0]);
        let step = |index| {
            env.step(ActionRef::Discrete(index), &mut rng, &mut observation).unwrap();
            observation[0]
        };
        (0..bins).map(step).collect()
    };
    let ten = [-1.8, -1.4000001, -1.0, -0.59999996, -0.19999999, 0.20000005, 0.6, 1.0, 1.4000001, 1.8000001];
    assert_eq!(centres(10), ten);
    let seven = [-1.7142857, -1.1428571, -0.5714285, 1.1920929e-07, 0.57142866, 1.1428573, 1.7142859];
    assert_eq!(centres(7), seven);
    assert_eq!(centres(1), [0.0]);

    // Of several numbers the last one's part changes fastest.
    let two = Probe::new(2, 2.0);
    let bins = Bins::Each(vec![2, 4]);
    let mut flat = DiscretizeAction::new(two.clone(), &bins, false).unwrap();
    let mut several = DiscretizeAction::new(two.clone(), &bins, true).unwrap();
    assert_eq!(flat.action_space().to_string(), "Discrete(8)");
    assert_eq!(several.action_space().to_string(), "MultiDiscrete([2 4])");
    let (mut rng, mut observation) = (EnvRng::from_seed(0), [0.0; 2]);
    for index in 0..8 {
        flat.step(ActionRef::Discrete(index), &mut rng, &mut observation).unwrap();
        assert_eq!(observation, [[-1.0, 1.0][index / 4], [-1.5, -0.5, 0.5, 1.5][index % 4]]);
        several.step(ActionRef::MultiDiscrete(&[index / 4, index % 4]), &mut rng, &mut observation).unwrap();
        assert_eq!(observation, [[-1.0, 1.0][index / 4], [-1.5, -0.5, 0.5, 1.5][index % 4]]);
    }
    for action in [ActionRef::Discrete(8), ActionRef::Box(&[0.0; 2]), ActionRef::MultiDiscrete(&[0, 0])] {
        let error = flat.step(action, &mut rng, &mut observation).unwrap_err();
        assert!(matches!(error, EnvError::InvalidAction { .. }), "{error}");
    }

    let refused = |env: Probe, bins, multidiscrete| {
        DiscretizeAction::new(env, &bins, multidiscrete).unwrap_err().to_string()
    };
    assert!(refused(two.clone(), Bins::Each(vec![2]), true).contains("give one number or 2"));
    assert!(refused(two.clone(), Bins::Each(vec![2, 0]), true).contains("`bins`[1] is 0"));
    assert!(refused(two, Bins::All(2000), false).contains("multidiscrete = true"));
    let unbounded = Probe::new(2, f32::INFINITY);
    assert!(refused(unbounded, Bins::All(3), true).contains("finite bounds"));
    assert!(DiscretizeAction::new(cart_pole(), &Bins::All(3), true).is_err());
}

/// Shows what it is told to do.
#[derive(Clone, Debug)]
struct Probe {
    actions: Space,
    observations: Space,
}

impl Probe {
    fn new(numbers: usize, high: f32) -> Self {
        let observations = Space::uniform_box(f32::NEG_INFINITY, f32::INFINITY, &[numbers]);
        Self { actions: Space::uniform_box(-2.0, high, &[numbers]), observations }
    }
}

impl Env for Probe {
    fn observation_space(&self) -> &Space {
        &self.observations
    }

    fn action_space(&self) -> &Space {
        &self.actions
    }

    fn reset(&mut self, _: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        observation.fill(0.0);
        Ok(())
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        _: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        if let ActionRef::Box(values) = action {
            observation.copy_from_slice(values);
        }
        Ok(Step::default())
    }
}

#[test]
fn wrappers_of_actions_pass_the_options_of_a_reset_on() {
    let options = [("x_init".to_owned(), relax_envs::Kwarg::Float(0.0))].into();
    let start = |env: &mut dyn Env| {
        let (mut rng, mut observation) = (EnvRng::from_seed(3), [0.0; 3]);
        env.reset_with(&options, &mut rng, &mut observation).unwrap();
        observation
    };
    let alone = start(&mut pendulum());
    assert_eq!(alone[1], 0.0, "upright");
    assert_eq!(start(&mut ClipAction::new(pendulum()).unwrap()), alone);
    assert_eq!(start(&mut DiscretizeAction::new(pendulum(), &Bins::All(3), false).unwrap()), alone);
    assert_eq!(start(&mut NormalizeReward::new(pendulum(), 0.9).unwrap()), alone);
}

#[test]
fn observation_scale_maps_values_and_bounds() {
    let (scale, offset) = (PerElement::Each(vec![1.0, -2.0, 0.125]), PerElement::All(1.0));
    let mut env = ObservationScale::new(pendulum(), &scale, &offset).unwrap();
    assert_eq!(*env.observation_space(), Space::bounded(&[0.0, -1.0, 0.0], &[2.0, 3.0, 2.0]));
    let (mapped, _) = roll(&mut env, 5, torque);
    let (raw, _) = roll(&mut pendulum(), 5, torque);
    for (m, r) in mapped.iter().zip(&raw) {
        assert_eq!(m[..], [r[0] + 1.0, r[1] * -2.0 + 1.0, r[2] * 0.125 + 1.0]);
    }
    for (scale, offset) in [
        (PerElement::All(0.0), PerElement::All(0.0)),
        (PerElement::All(f32::NAN), PerElement::All(0.0)),
        (PerElement::Each(vec![1.0]), PerElement::All(0.0)),
        (PerElement::All(1.0), PerElement::Each(vec![0.0; 4])),
    ] {
        assert!(ObservationScale::new(pendulum(), &scale, &offset).is_err());
    }
}

#[test]
fn configuration_names_are_the_wrappers() {
    for (text, config) in [
        (r#"{"name":"FrameStack","size":4}"#, WrapperConfig::FrameStack { size: 4 }),
        (r#"{"name":"NormalizeObservation"}"#, WrapperConfig::NormalizeObservation {}),
        (r#"{"name":"NormalizeReward"}"#, WrapperConfig::NormalizeReward { gamma: 0.99 }),
        (r#"{"name":"NormalizeReward","gamma":0.5}"#, WrapperConfig::NormalizeReward { gamma: 0.5 }),
        (r#"{"name":"ClipAction"}"#, WrapperConfig::ClipAction {}),
        (
            r#"{"name":"DiscretizeAction","bins":11}"#,
            WrapperConfig::DiscretizeAction { bins: Bins::All(11), multidiscrete: false },
        ),
        (
            r#"{"name":"DiscretizeAction","bins":[3,5],"multidiscrete":true}"#,
            WrapperConfig::DiscretizeAction { bins: Bins::Each(vec![3, 5]), multidiscrete: true },
        ),
        (
            r#"{"name":"ObservationScale","scale":2.0}"#,
            WrapperConfig::ObservationScale { scale: PerElement::All(2.0), offset: PerElement::All(0.0) },
        ),
        (r#"{"name":"TimeLimit","max_episode_steps":9}"#, WrapperConfig::TimeLimit { max_episode_steps: 9 }),
    ] {
        assert_eq!(serde_json::from_str::<WrapperConfig>(text).unwrap(), config);
        let again = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<WrapperConfig>(&again).unwrap(), config);
    }
    for text in [
        r#"{"name":"FrameStak","size":4}"#,
        r#"{"name":"FrameStack","size":4,"pad":1}"#,
        r#"{"name":"ClipAction","x":1}"#,
        r#"{"size":4}"#,
    ] {
        assert!(serde_json::from_str::<WrapperConfig>(text).is_err(), "{text}");
    }
}

#[test]
fn a_part_that_keeps_statistics_is_named_through_every_wrapper() {
    let wrapped = |wrappers: &[WrapperConfig]| {
        let mut env: Box<dyn Env> = Box::new(pendulum());
        for wrapper in wrappers {
            env = wrapper.wrap(env).unwrap();
        }
        env.running_statistics()
    };
    let outer = [WrapperConfig::FrameStack { size: 2 }, WrapperConfig::TimeLimit { max_episode_steps: 5 }];
    for (wrapper, name) in [
        (WrapperConfig::NormalizeObservation {}, "NormalizeObservation"),
        (WrapperConfig::NormalizeReward { gamma: 0.9 }, "NormalizeReward"),
    ] {
        let wrappers = [&[wrapper][..], &outer, &[WrapperConfig::ClipAction {}]].concat();
        assert_eq!(wrapped(&wrappers).as_deref(), Some(name));
    }
    assert_eq!(wrapped(&outer), None);
}
