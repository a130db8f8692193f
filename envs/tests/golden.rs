//! Replays Gymnasium's recorded trajectories bit for bit: states, observations, rewards, ends, generator states.
//!
//! `GOLDEN_GYMNASIUM=DIR` replays other recordings made by `tests/golden/gymnasium/generate.py`, for instance longer ones.
use std::io::Read;

use flate2::read::GzDecoder;
use relax_envs::classic::{Acrobot, CartPole, MountainCar, MountainCarContinuous, Pendulum};
use relax_envs::wrappers::TimeLimit;
use relax_envs::{ActionRef, Env, EnvRng};
use serde_json::Value;

fn golden(id: &str) -> Vec<Value> {
    let directory = std::env::var("GOLDEN_GYMNASIUM")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/gymnasium").to_owned());
    let path = format!("{directory}/{id}.jsonl.gz");
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// NumPy's `bit_generator.state` as `EnvRng::state` lays it out.
fn rng_words(value: &Value) -> [u64; 6] {
    let big = |key: &str| value[key].as_str().unwrap().parse::<u128>().unwrap();
    let (state, increment) = (big("state"), big("inc"));
    [
        (state >> 64) as u64,
        state as u64,
        (increment >> 64) as u64,
        increment as u64,
        value["has_uint32"].as_u64().unwrap(),
        value["uinteger"].as_u64().unwrap(),
    ]
}

/// Replays all lines; `state` shows the environment's internal state. Returns the numbers of resets and steps.
fn replay<E: Env>(id: &str, env: E, state: impl Fn(&E) -> Vec<f64>) -> (usize, usize) {
    let lines = golden(id);
    assert_eq!(lines[0]["kind"], "meta");
    assert_eq!(lines[0]["env"], id);
    let limit = lines[0]["max_episode_steps"].as_u64().unwrap() as u32;
    assert_eq!(relax_envs::spec(id).unwrap().max_episode_steps, Some(limit));

    let mut env = TimeLimit::new(env, limit).unwrap();
    let mut rng = EnvRng::from_seed(0);
    let mut observation = vec![0.0f32; env.observation_space().flat_dim()];
    let (mut resets, mut steps) = (0, 0);
    for (number, line) in lines.iter().enumerate().skip(1) {
        let at = format!("{id}, line {}", number + 1);
        if line["kind"] == "reset" {
            if let Some(seed) = line["seed"].as_u64() {
                rng = EnvRng::from_seed(seed);
            }
            assert_eq!(rng.state(), rng_words(&line["rng_before"]), "{at}: generator before the reset");
            env.reset(&mut rng, &mut observation).unwrap();
            assert_eq!(rng.state(), rng_words(&line["rng_after"]), "{at}: generator after the reset");
            resets += 1;
        } else {
            let values: Vec<f32>;
            let action = match line["a"].as_u64() {
                Some(index) => ActionRef::Discrete(index as usize),
                None => {
                    values = numbers(&line["a"]).iter().map(|&v| v as f32).collect();
                    ActionRef::Box(&values)
                }
            };
            let step = env.step(action, &mut rng, &mut observation).unwrap();
            let reward = line["r"].as_f64().unwrap();
            assert_eq!(step.reward.to_bits(), reward.to_bits(), "{at}: reward {} for {reward}", step.reward);
            assert_eq!(step.terminated, line["term"].as_bool().unwrap(), "{at}: terminated");
            assert_eq!(step.truncated, line["trunc"].as_bool().unwrap(), "{at}: truncated");
            steps += 1;
        }
        let (seen, wanted) = (state(env.inner()), numbers(&line["internal"]["state"]));
        assert_eq!(bits(&seen), bits(&wanted), "{at}: state {seen:?} for {wanted:?}");
        let seen: Vec<f64> = observation.iter().map(|&v| f64::from(v)).collect();
        let wanted = numbers(&line["obs"]);
        assert_eq!(bits(&seen), bits(&wanted), "{at}: observation {seen:?} for {wanted:?}");
    }
    println!("{id}: {resets} resets and {steps} steps agree");
    (resets, steps)
}

/// Every file has six seeded runs and at least 200 steps in each of the first five.
fn assert_enough((resets, steps): (usize, usize)) {
    assert!(resets >= 6 && steps > 1000, "only {resets} resets and {steps} steps");
}

#[test]
fn cart_pole() {
    assert_enough(replay("CartPole-v1", CartPole::new(false), |env| env.state().to_vec()));
}

#[test]
fn acrobot() {
    assert_enough(replay("Acrobot-v1", Acrobot::new(), |env| env.state().to_vec()));
}

#[test]
fn mountain_car() {
    assert_enough(replay("MountainCar-v0", MountainCar::new(0.0), |env| env.state().to_vec()));
}

#[test]
fn mountain_car_continuous() {
    let env = MountainCarContinuous::new(0.0);
    assert_enough(replay("MountainCarContinuous-v0", env, |env| env.state().to_vec()));
}

#[test]
fn pendulum() {
    assert_enough(replay("Pendulum-v1", Pendulum::new(10.0), |env| env.state().to_vec()));
}

#[test]
#[should_panic(expected = "line 3: state")]
fn a_wrong_constant_is_noticed() {
    replay("Pendulum-v1", Pendulum::new(9.81), |env| env.state().to_vec());
}
