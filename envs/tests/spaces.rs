//! Spaces: Gymnasium's printed form, membership, sampling, validation.
use relax_envs::{Action, ActionRef, EnvRng, Space, make};

#[test]
fn they_print_as_gymnasium_prints_them() {
    let expected = [
        (
            "CartPole-v1",
            "Box([-4.8               -inf -0.41887903        -inf], [4.8               inf 0.41887903        inf], (4,), float32)",
            "Discrete(2)",
        ),
        (
            "Acrobot-v1",
            "Box([ -1.        -1.        -1.        -1.       -12.566371 -28.274334], [ 1.        1.        1.        1.       12.566371 28.274334], (6,), float32)",
            "Discrete(3)",
        ),
        ("MountainCar-v0", "Box([-1.2  -0.07], [0.6  0.07], (2,), float32)", "Discrete(3)"),
        (
            "MountainCarContinuous-v0",
            "Box([-1.2  -0.07], [0.6  0.07], (2,), float32)",
            "Box(-1.0, 1.0, (1,), float32)",
        ),
        ("Pendulum-v1", "Box([-1. -1. -8.], [1. 1. 8.], (3,), float32)", "Box(-2.0, 2.0, (1,), float32)"),
    ];
    for (id, observation, action) in expected {
        let env = make(id, &Default::default()).unwrap();
        assert_eq!(env.observation_space().to_string(), observation, "{id}");
        assert_eq!(env.action_space().to_string(), action, "{id}");
    }
    for (space, printed) in [
        (Space::uniform_box(-1.0, 1.0, &[2, 3]), "Box(-1.0, 1.0, (2, 3), float32)"),
        (Space::bounded(&[0.0, 0.5], &[f32::INFINITY; 2]), "Box([0.  0.5], inf, (2,), float32)"),
        (Space::uniform_box(-1e-5, 1e20, &[1]), "Box(-1e-05, 1e+20, (1,), float32)"),
        (Space::MultiDiscrete { nvec: vec![3, 4] }, "MultiDiscrete([3 4])"),
        (Space::MultiBinary { n: 4 }, "MultiBinary(4)"),
        (Space::Discrete { n: 3, start: 1 }, "Discrete(3, start=1)"),
    ] {
        assert_eq!(space.to_string(), printed);
    }
}

#[test]
fn membership_and_sizes() {
    let multi = Space::MultiDiscrete { nvec: vec![2, 3] };
    assert_eq!((multi.size(), multi.flat_dim()), (2, 5));
    assert!(multi.contains(ActionRef::MultiDiscrete(&[1, 2])));
    assert!(!multi.contains(ActionRef::MultiDiscrete(&[2, 0])));
    assert!(!multi.contains(ActionRef::Discrete(0)));
    assert!(multi.contains_observation(&[0.0, 1.0, 1.0, 0.0, 0.0]));
    assert!(!multi.contains_observation(&[1.0, 1.0, 0.0, 0.0, 0.0]));

    let discrete = Space::discrete(3);
    assert_eq!((discrete.size(), discrete.flat_dim(), discrete.shape()), (1, 3, vec![]));
    assert!(discrete.contains_observation(&[0.0, 0.0, 1.0]));
    assert!(!discrete.contains_observation(&[0.0, 0.5, 0.5]));

    let cube = Space::uniform_box(0.0, 1.0, &[2, 2]);
    assert_eq!((cube.size(), cube.flat_dim(), cube.shape()), (4, 4, vec![2, 2]));
    assert!(cube.contains(ActionRef::Box(&[0.0, 1.0, 0.5, 0.1])));
    assert!(!cube.contains(ActionRef::Box(&[0.0, 1.0, 0.5, f32::NAN])));
    assert!(!cube.contains(ActionRef::Box(&[0.0])));
}

#[test]
fn samples_lie_inside_and_follow_gymnasium() {
    let space = Space::bounded(&[-1.0, 0.0], &[1.0, 5.0]);
    let sample = space.sample(&mut EnvRng::from_seed(21));
    assert_eq!(sample, Action::Box(vec![0.5622352, 3.0292351]));

    let half_open =
        Space::bounded(&[0.0, f32::NEG_INFINITY, f32::NEG_INFINITY], &[f32::INFINITY, 1.0, f32::INFINITY]);
    let spaces = [
        space,
        half_open,
        Space::discrete(4),
        Space::MultiDiscrete { nvec: vec![1, 7] },
        Space::MultiBinary { n: 3 },
    ];
    let mut rng = EnvRng::from_seed(5);
    for space in spaces {
        for _ in 0..1000 {
            let action = space.sample(&mut rng);
            assert!(space.contains(action.as_action_ref()), "{space}: {action:?}");
        }
    }
}

#[test]
fn nonsense_is_refused() {
    for space in [
        Space::discrete(0),
        Space::MultiDiscrete { nvec: vec![2, 0] },
        Space::MultiBinary { n: 0 },
        Space::uniform_box(0.0, 1.0, &[0]),
        Space::uniform_box(1.0, 0.0, &[2]),
        Space::uniform_box(f32::NAN, 0.0, &[1]),
        Space::Box { low: vec![0.0; 3], high: vec![1.0; 3], shape: vec![2] },
    ] {
        assert!(space.validate().is_err(), "{space}");
    }
    assert!(Space::uniform_box(0.0, 0.0, &[1]).validate().is_ok());
}
