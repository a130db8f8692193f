//! `load_state` never panics or hangs, whatever numbers it is given, and neither does what runs on afterwards.
use relax_envs::{Env, EnvError, EnvRng, make};

const NASTY: [f64; 14] = [
    0.0,
    1.0,
    -1.0,
    0.5,
    3.0,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::MAX,
    f64::MIN,
    f64::MIN_POSITIVE,
    1e300,
    4294967296.0,
    -0.0,
];

fn run_on(env: &mut dyn Env, rng: &mut EnvRng) {
    let mut observation = vec![0.0; env.observation_space().flat_dim()];
    for _ in 0..20 {
        let action = env.action_space().sample(rng);
        match env.step(action.as_action_ref(), rng, &mut observation) {
            Ok(step) if step.ended() => break,
            Ok(_) => {}
            Err(EnvError::NeedsReset { .. }) => break,
            Err(other) => panic!("{other}"),
        }
    }
    env.render();
}

#[test]
fn no_numbers_do_harm() {
    let mut rng = EnvRng::from_seed(4);
    for id in relax_envs::ids() {
        let mut taken = 0;
        let mut env = make(&id, &Default::default()).unwrap();
        // A trial of a physics engine or with a picture of many cells takes longer; they have larger states.
        let mut sample = Vec::new();
        env.reset(&mut rng, &mut vec![0.0; env.observation_space().flat_dim()]).unwrap();
        env.save_state(&mut sample).unwrap();
        let trials = if sample.len() < 10 { 20_000 } else { 1_500 };
        for trial in 0..trials {
            let mut observation = vec![0.0; env.observation_space().flat_dim()];
            env.reset(&mut rng, &mut observation).unwrap();
            let mut state = Vec::new();
            env.save_state(&mut state).unwrap();
            // Some trials change all numbers of a good state, some a quarter of them, some one.
            let one = rng.integers(0, state.len() as i64) as usize;
            for (i, number) in state.iter_mut().enumerate() {
                if trial % 3 == 0 || trial % 3 == 1 && rng.integers(0, 4) == 0 || i == one {
                    *number = NASTY[rng.integers(0, NASTY.len() as i64) as usize];
                }
            }
            state.truncate(rng.integers(0, 3 * state.len() as i64) as usize);
            if env.load_state(&mut state.as_slice()).is_ok() {
                taken += 1;
                run_on(&mut *env, &mut rng);
            }
        }
        assert!(taken > trials / 200, "{id}: only {taken} states were taken, the test proves little");
    }
}

#[test]
fn states_out_of_range_are_refused() {
    // Acrobot would turn back an angle of 1e300 forever; the counts and flags must be what they say.
    for (id, index, value) in [
        ("Acrobot-v1", 2, 1e300),
        ("Acrobot-v1", 4, 40.0),
        ("MountainCar-v0", 2, 0.7),
        ("MountainCarContinuous-v0", 3, 0.08),
        ("Pendulum-v1", 3, 8.5),
        ("CartPole-v1", 6, 0.5),
        ("CartPole-v1", 0, 500.0), // all steps taken, and running
        ("CartPole-v1", 0, 0.5),
        ("CartPole-v1", 1, 2.0),
    ] {
        let mut env = make(id, &Default::default()).unwrap();
        let mut observation = vec![0.0; env.observation_space().flat_dim()];
        env.reset(&mut EnvRng::from_seed(0), &mut observation).unwrap();
        let mut good = Vec::new();
        env.save_state(&mut good).unwrap();
        let mut state = good.clone();
        state[index] = value;
        let error = env.load_state(&mut state.as_slice()).unwrap_err();
        assert!(matches!(error, EnvError::InvalidState { .. }), "{id}[{index}] = {value}: {error}");
        let mut after = Vec::new();
        env.save_state(&mut after).unwrap();
        assert_eq!(after, good);
    }
}
