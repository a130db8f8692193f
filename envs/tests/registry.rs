//! Registry: ids, arguments, time limits, messages that say what would be right.
use relax_envs::classic::CartPole;
use relax_envs::{
    ActionRef, EnvError, EnvRng, EnvSpec, Kwarg, Kwargs, MakeOptions, Provider, WrapperConfig, ids,
    is_python, make, make_vec, make_with, provider, providers, register, register_provider, spec,
};

fn kwargs(key: &str, value: Kwarg) -> Kwargs {
    Kwargs::from([(key.to_owned(), value)])
}

fn message<T>(result: Result<T, EnvError>) -> String {
    match result {
        Ok(_) => panic!("expected an error"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_built_in_environments() {
    let known = [
        ("Acrobot-v1", Some(500), Some(-100.0)),
        ("CartPole-v1", Some(500), Some(475.0)),
        ("MountainCar-v0", Some(200), Some(-110.0)),
        ("MountainCarContinuous-v0", Some(999), Some(90.0)),
        ("Pendulum-v1", Some(200), None),
    ];
    for (id, limit, threshold) in known {
        assert!(ids().contains(&id.to_owned()));
        let spec = spec(id).unwrap();
        assert_eq!((spec.max_episode_steps, spec.reward_threshold), (limit, threshold), "{id}");
    }
}

/// Mean and standard error of the returns of `episodes` episodes of uniformly random actions.
fn random_play(id: &str, episodes: usize) -> (f64, f64) {
    let mut env = make(id, &Kwargs::new()).unwrap();
    let mut observation = vec![0.0; env.observation_space().flat_dim()];
    let (mut rng, mut actions) = (EnvRng::from_seed(1), EnvRng::from_seed(2));
    let space = env.action_space().clone();
    let mut returns = Vec::new();
    for _ in 0..episodes {
        env.reset(&mut rng, &mut observation).unwrap();
        let mut total = 0.0;
        loop {
            let action = space.sample(&mut actions);
            let step = env.step(action.as_action_ref(), &mut rng, &mut observation).unwrap();
            total += step.reward;
            if step.ended() {
                break;
            }
        }
        returns.push(total);
    }
    let n = episodes as f64;
    let mean = returns.iter().sum::<f64>() / n;
    let variance = returns.iter().map(|total| (total - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

#[test]
fn random_play_returns_what_is_registered() {
    for id in ["Acrobot-v1", "CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"] {
        let registered = spec(id).unwrap().random_return.unwrap();
        let (mean, error) = random_play(id, 500);
        // The registered number is rounded to a tenth.
        assert!(
            (mean - registered).abs() < 4.0 * error + 0.05,
            "{id}: {mean} ± {error}, registered {registered}"
        );
    }
}

#[test]
fn wrong_ids_and_arguments_get_helpful_messages() {
    let text = message(make("CartPole-v2", &Kwargs::new()));
    assert!(text.contains("did you mean `CartPole-v1`?") && !text.contains("Pendulum-v1"), "{text}");
    // Several that are as near, but never all of them; and none at all rather than one that is not meant.
    let text = message(make("MiniGrid-Empty-7x7-v0", &Kwargs::new()));
    assert!(text.contains("did you mean `MiniGrid-Empty-") && text.matches('`').count() == 8, "{text}");
    let text = message(make("HalfCheetah", &Kwargs::new()));
    assert!(text.contains("did you mean `HalfCheetah-v5`?"), "{text}");
    for nothing_like_it in ["foo", "", "zzz-v0"] {
        let text = message(make(nothing_like_it, &Kwargs::new()));
        assert_eq!(text, format!("unknown environment `{nothing_like_it}`"));
    }
    let text = message(make("pendulm-v1", &Kwargs::new()));
    assert!(text.contains("did you mean `Pendulum-v1`"), "{text}");
    if cfg!(not(feature = "gym")) {
        let text = message(make("gym:CartPole-v1", &Kwargs::new()));
        assert!(text.contains("built without Python") && text.contains("--features gym"), "{text}");
    }

    let missing = relax_envs::missing_ids();
    assert_eq!(missing.contains(&("HalfCheetah-v5", "mujoco")), cfg!(not(feature = "mujoco")));
    for (id, feature) in missing {
        let text = message(make(id, &Kwargs::new()));
        assert!(text.contains(id) && text.contains(&format!("--features {feature}")), "{text}");
    }

    let text = message(make("Pendulum-v1", &kwargs("gravity", Kwarg::Float(1.0))));
    assert!(["gravity", "Pendulum-v1", "valid: g"].iter().all(|part| text.contains(part)), "{text}");
    let text = message(make("Pendulum-v1", &kwargs("g", Kwarg::String("low".into()))));
    assert!(["`g`", "Pendulum-v1", "number", "\"low\""].iter().all(|part| text.contains(part)), "{text}");
    let text = message(make("Acrobot-v1", &kwargs("g", Kwarg::Int(1))));
    assert!(text.contains("valid: none"), "{text}");
    assert!(make("Pendulum-v1", &kwargs("g", Kwarg::Float(f64::NAN))).is_err());
    assert!(make("CartPole-v1", &kwargs("sutton_barto_reward", Kwarg::Int(1))).is_err());
}

#[test]
fn arguments_reach_the_environment() {
    let mut env = make("CartPole-v1", &kwargs("sutton_barto_reward", Kwarg::Bool(true))).unwrap();
    let (mut rng, mut observation) = (EnvRng::from_seed(0), [0.0; 4]);
    env.reset(&mut rng, &mut observation).unwrap();
    let mut rewards = Vec::new();
    loop {
        let step = env.step(ActionRef::Discrete(1), &mut rng, &mut observation).unwrap();
        rewards.push(step.reward);
        if step.ended() {
            break;
        }
    }
    assert_eq!(rewards.pop(), Some(-1.0));
    assert!(rewards.iter().all(|&reward| reward == 0.0));

    let pendulum = |g: Option<Kwarg>| {
        let kwargs = g.map(|g| kwargs("g", g)).unwrap_or_default();
        let mut env = make("Pendulum-v1", &kwargs).unwrap();
        let (mut rng, mut observation) = (EnvRng::from_seed(0), [0.0; 3]);
        env.reset(&mut rng, &mut observation).unwrap();
        env.step(ActionRef::Box(&[0.0]), &mut rng, &mut observation).unwrap();
        observation
    };
    assert_eq!(pendulum(None), pendulum(Some(Kwarg::Int(10))));
    assert_ne!(pendulum(None), pendulum(Some(Kwarg::Float(9.81))));

    for id in ["MountainCar-v0", "MountainCarContinuous-v0"] {
        assert!(make(id, &kwargs("goal_velocity", Kwarg::Float(0.01))).is_ok());
    }
}

#[test]
fn options_come_from_configuration_and_change_the_limit() {
    let text = r#"{"kwargs":{"g":9},"max_episode_steps":2,"wrappers":[{"name":"FrameStack","size":2}]}"#;
    let options: MakeOptions = serde_json::from_str(text).unwrap();
    assert_eq!(options.kwargs["g"], Kwarg::Int(9));
    assert_eq!(options.wrappers, [WrapperConfig::FrameStack { size: 2 }]);
    assert!(serde_json::from_str::<MakeOptions>(r#"{"wraper":[]}"#).is_err());

    let mut env = make_with("Pendulum-v1", &options).unwrap();
    let (mut rng, mut observation) = (EnvRng::from_seed(0), [0.0; 6]);
    env.reset(&mut rng, &mut observation).unwrap();
    assert!(!env.step(ActionRef::Box(&[0.0]), &mut rng, &mut observation).unwrap().truncated);
    assert!(env.step(ActionRef::Box(&[0.0]), &mut rng, &mut observation).unwrap().truncated);
    assert!(make_with("Pendulum-v1", &MakeOptions { max_episode_steps: Some(0), ..options }).is_err());
}

#[test]
fn own_environments_can_be_registered_once() {
    let own = || EnvSpec::new("Own-v3", "a test", |_| Ok(Box::new(CartPole::new(false))));
    register(own().max_episode_steps(5).reward_threshold(4.0)).unwrap();
    assert!(make("Own-v3", &Kwargs::new()).is_ok());
    assert_eq!(spec("Own-v3").unwrap().reward_threshold, Some(4.0));
    assert!(message(register(own())).contains("taken"));
    for id in ["", "gym:Own-v3", "CartPole-v1"] {
        assert!(register(EnvSpec { id: id.into(), ..own() }).is_err(), "{id:?}");
    }
}

/// `steps:N` is CartPole for N steps.
struct Steps(&'static str);

impl Provider for Steps {
    fn prefix(&self) -> &str {
        self.0
    }
    fn summary(&self) -> &str {
        "CartPole, cut short"
    }
    fn spec(&self, id: &str) -> Result<EnvSpec, EnvError> {
        let (_, steps) = id.split_once(':').unwrap_or_default();
        let steps = steps
            .parse()
            .map_err(|_| EnvError::Registration { id: id.into(), reason: "no number of steps".into() })?;
        let own = EnvSpec::new(id, "CartPole, cut short", |_| Ok(Box::new(CartPole::new(false))));
        Ok(own.max_episode_steps(steps))
    }
}

#[test]
fn a_provider_makes_what_begins_with_its_prefix() {
    assert!(make("steps:3", &Kwargs::new()).is_err(), "it is not registered yet");
    register_provider(Steps("steps")).unwrap();
    assert_eq!(spec("steps:3").unwrap().max_episode_steps, Some(3));
    assert!(message(make("steps:many", &Kwargs::new())).contains("no number of steps"));
    let mut envs = make_vec("steps:3", 2, &MakeOptions::default()).unwrap();
    let mut out = relax_envs::StepBuffers::new(2, 4);
    envs.reset(&[0, 1], &mut out.observations).unwrap();
    for t in 1..=3 {
        envs.step(&[0, 1], relax_envs::Actions::Discrete(&[t % 2, 1]), &mut out).unwrap();
        assert_eq!(out.truncated, [t == 3; 2]);
    }

    assert!(!ids().contains(&"steps:3".to_owned()));
    assert!(providers().iter().any(|provider| provider.prefix() == "steps"));
    assert_eq!(provider("steps:9").map(|provider| provider.is_python()), Some(false));
    assert!(is_python("gym:Own-v3") && !is_python("steps:3") && !is_python("CartPole-v1"));

    let own = || EnvSpec::new("steps:x", "a test", |_| Ok(Box::new(CartPole::new(false))));
    assert!(message(register(own())).contains("kept for CartPole, cut short"));
    assert!(message(register_provider(Steps("steps"))).contains("taken"));
    assert!(message(register_provider(Steps("gym"))).contains("taken"));
    for prefix in ["", "a:b"] {
        assert!(message(register_provider(Steps(prefix))).contains("without a colon"), "{prefix:?}");
    }
    register(EnvSpec { id: "early:x".into(), ..own() }).unwrap();
    assert!(message(register_provider(Steps("early"))).contains("begins with it"));
}
