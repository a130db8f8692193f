//! Registry: ids, arguments, time limits, messages that say what would be right.
use relax_envs::classic::CartPole;
use relax_envs::{
    ActionRef, EnvError, EnvRng, EnvSpec, Kwarg, Kwargs, MakeOptions, WrapperConfig, ids, make, make_with,
    register, spec,
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

#[test]
fn wrong_ids_and_arguments_get_helpful_messages() {
    let text = message(make("CartPole-v2", &Kwargs::new()));
    assert!(text.contains("did you mean `CartPole-v1`") && text.contains("Pendulum-v1"), "{text}");
    let text = message(make("pendulm-v1", &Kwargs::new()));
    assert!(text.contains("did you mean `Pendulum-v1`"), "{text}");
    if cfg!(not(feature = "gym")) {
        let text = message(make("gym:CartPole-v1", &Kwargs::new()));
        assert!(text.contains("built without Python") && text.contains("--features gym"), "{text}");
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
