//! Replays Gymnasium's recorded trajectories bit for bit: states, observations, rewards, ends, generator states.
//!
//! `GOLDEN_GYMNASIUM=DIR` replays other recordings made by `tests/golden/gymnasium/generate.py`, for instance longer ones.
use std::io::Read;

use flate2::read::GzDecoder;
use relax_envs::classic::{Acrobot, CartPole, MountainCar, MountainCarContinuous, Pendulum};
use relax_envs::minigrid::{Layout, MiniGrid};
use relax_envs::wrappers::TimeLimit;
use relax_envs::{ActionRef, Catch, CatchView, Env, EnvRng};
use serde_json::Value;

fn golden(id: &str) -> Vec<Value> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden");
    let path = if id.starts_with("MiniGrid") || id.starts_with("Catch") {
        format!("{own}/grids/{id}.jsonl.gz")
    } else {
        let directory = std::env::var("GOLDEN_GYMNASIUM").unwrap_or_else(|_| format!("{own}/gymnasium"));
        format!("{directory}/{id}.jsonl.gz")
    };
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

/// Replays all lines; `state` shows the environment's internal state, recorded under `keys`. Returns the numbers of resets
/// and steps.
fn replay_keys<E: Env>(id: &str, env: E, keys: &[&str], state: impl Fn(&E) -> Vec<f64>) -> (usize, usize) {
    let lines = golden(id);
    assert_eq!(lines[0]["kind"], "meta");
    assert_eq!(lines[0]["env"], id);
    let limit = lines[0]["max_episode_steps"].as_u64().map(|steps| steps as u32);
    assert_eq!(relax_envs::spec(id).unwrap().max_episode_steps, limit);

    let mut env = TimeLimit::new(env, limit.unwrap_or(u32::MAX)).unwrap();
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
        let wanted: Vec<f64> = keys.iter().flat_map(|key| numbers(&line["internal"][key])).collect();
        let seen = state(env.inner());
        assert_eq!(bits(&seen), bits(&wanted), "{at}: state {seen:?} for {wanted:?}");
        let seen: Vec<f64> = observation.iter().map(|&v| f64::from(v)).collect();
        // MuJoCo's observations are recorded as float64; ours are float32.
        let wanted: Vec<f64> = numbers(&line["obs"]).iter().map(|&v| f64::from(v as f32)).collect();
        assert_eq!(bits(&seen), bits(&wanted), "{at}: observation {seen:?} for {wanted:?}");
    }
    println!("{id}: {resets} resets and {steps} steps agree");
    (resets, steps)
}

fn replay<E: Env>(id: &str, env: E, state: impl Fn(&E) -> Vec<f64>) -> (usize, usize) {
    replay_keys(id, env, &["state"], state)
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

/// The 64-bit sum of Fowler, Noll and Vo, variant 1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn mini_grid(name: &str, layout: Layout) {
    let id = format!("MiniGrid-{name}-v0");
    let env = || MiniGrid::new(id.clone(), layout, layout.max_steps());
    let (resets, steps) = replay_keys(&id, env(), &["agent"], |env| env.agent().map(|v| v as f64).to_vec());
    assert!(resets >= 6 && steps == 720, "{id}: only {resets} resets and {steps} steps");

    // The whole grids and the pictures, which are recorded as sums.
    let (mut env, mut rng, mut observation) = (env(), EnvRng::from_seed(0), [0.0; 147]);
    for (number, line) in golden(&id).iter().enumerate().skip(1) {
        let at = format!("{id}, line {}", number + 1);
        let sum = |key: &str| line["internal"][key].as_str().map(|sum| sum.parse::<u64>().unwrap());
        if line["kind"] == "reset" {
            if let Some(seed) = line["seed"].as_u64() {
                rng = EnvRng::from_seed(seed);
            }
            env.reset(&mut rng, &mut observation).unwrap();
            assert_eq!(sum("picture"), Some(fnv(&env.render().unwrap().rgb)), "{at}: picture");
        } else {
            let action = ActionRef::Discrete(line["a"].as_u64().unwrap() as usize);
            env.step(action, &mut rng, &mut observation).unwrap();
        }
        assert_eq!(sum("grid"), Some(fnv(&env.encode())), "{at}: grid");
    }
}

#[test]
fn mini_grids() {
    let crossing = |size, crossings, lava| Layout::Crossing { size, crossings, lava };
    mini_grid("Empty-5x5", Layout::Empty { size: 5, random: false });
    mini_grid("Empty-Random-6x6", Layout::Empty { size: 6, random: true });
    mini_grid("Empty-16x16", Layout::Empty { size: 16, random: false });
    mini_grid("DoorKey-5x5", Layout::DoorKey { size: 5 });
    mini_grid("DoorKey-8x8", Layout::DoorKey { size: 8 });
    mini_grid("FourRooms", Layout::FourRooms);
    mini_grid("LavaCrossingS9N2", crossing(9, 2, true));
    mini_grid("LavaCrossingS11N5", crossing(11, 5, true));
    mini_grid("SimpleCrossingS9N3", crossing(9, 3, false));
}

#[test]
#[should_panic(expected = "observation")]
fn another_layout_is_noticed() {
    let id = "MiniGrid-SimpleCrossingS9N3-v0";
    let wrong = Layout::Crossing { size: 9, crossings: 3, lava: true };
    replay_keys(id, MiniGrid::new(id.into(), wrong, wrong.max_steps()), &["agent"], |env| {
        env.agent().map(|v| v as f64).to_vec()
    });
}

#[test]
fn catch() {
    let env = Catch::new(CatchView::Board, 10, 5).unwrap();
    let state = |env: &Catch| env.state().map(|v| v as f64).to_vec();
    assert_eq!(replay("Catch-v0", env, state), (40, 360));
}

/// MuJoCo's tasks. They need its library (`scripts/setup-mujoco`) at the recordings' version.
#[cfg(feature = "mujoco")]
mod mujoco {
    use relax_envs::mujoco::MujocoEnv;

    use super::*;

    fn check(id: &str, arguments: &[(&str, f64)]) -> (usize, usize) {
        let kwargs =
            arguments.iter().map(|&(key, value)| (key.into(), relax_envs::Kwarg::Float(value))).collect();
        let env = MujocoEnv::make(id, &kwargs).unwrap();
        replay_keys(id, env, &["qpos", "qvel"], |env| [env.qpos(), env.qvel()].concat())
    }

    #[test]
    fn the_version_is_the_recordings() {
        assert_eq!(relax_envs::mujoco::version().unwrap(), "3.17.0", "bits differ between versions");
    }

    #[test]
    fn every_task() {
        for id in ["HalfCheetah-v5", "Hopper-v5", "InvertedPendulum-v5", "Walker2d-v5"] {
            assert_enough(check(id, &[]));
        }
        // Fewer steps, to keep the files small: 2 seeds and the script.
        let short = [
            ("Swimmer-v5", 180),
            ("InvertedDoublePendulum-v5", 128),
            ("Reacher-v5", 170),
            ("Ant-v5", 180),
            ("Humanoid-v5", 56),
        ];
        for (id, steps) in short {
            assert_eq!(check(id, &[]).1, steps, "{id}");
        }
    }

    #[test]
    #[should_panic(expected = "line 3: reward")]
    fn a_wrong_weight_is_noticed() {
        check("Hopper-v5", &[("ctrl_cost_weight", 1.1e-3)]);
    }
}

/// The landers. They need no recording of the ground: the seed draws it.
#[cfg(feature = "box2d")]
mod box2d {
    use relax_envs::{Kwarg, Kwargs, make};

    use super::*;

    /// Largest errors against a recording: of observations before an episode's first contact, and after it, and of an
    /// episode's return; flags and ends must agree.
    fn errors(id: &str, kwargs: &Kwargs) -> [f64; 3] {
        let lines = golden(id);
        let mut env = make(id, kwargs).unwrap();
        let (mut rng, mut observation) = (EnvRng::from_seed(0), [0.0f32; 8]);
        let (mut touched, mut returns, mut worst, mut exact) = (false, [0.0, 0.0], [0.0f64; 3], 0);
        for (number, line) in lines.iter().enumerate().skip(1) {
            let at = format!("{id}, line {}", number + 1);
            if line["kind"] == "reset" {
                if let Some(seed) = line["seed"].as_u64() {
                    rng = EnvRng::from_seed(seed);
                }
                assert_eq!(rng.state(), rng_words(&line["rng_before"]), "{at}: generator before the reset");
                env.reset(&mut rng, &mut observation).unwrap();
                assert_eq!(rng.state(), rng_words(&line["rng_after"]), "{at}: generator after the reset");
                (touched, returns) = (false, [0.0, 0.0]);
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
                assert_eq!(step.terminated, line["term"].as_bool().unwrap(), "{at}: terminated");
                assert_eq!(step.truncated, line["trunc"].as_bool().unwrap(), "{at}: truncated");
                returns[0] += step.reward;
                returns[1] += line["r"].as_f64().unwrap();
                if step.ended() {
                    worst[2] = worst[2].max((returns[0] - returns[1]).abs());
                }
            }
            let wanted = numbers(&line["obs"]);
            assert_eq!(f64::from(observation[6]), wanted[6], "{at}: flag of the first leg");
            assert_eq!(f64::from(observation[7]), wanted[7], "{at}: flag of the second leg");
            touched |= wanted[6] + wanted[7] > 0.0 || line["internal"]["game_over"] == true;
            let error = observation.iter().zip(&wanted).map(|(&a, b)| (f64::from(a) - b).abs());
            let error = error.fold(0.0, f64::max);
            let part = usize::from(touched);
            worst[part] = worst[part].max(error);
            exact += usize::from(error == 0.0);
        }
        println!("{id}: {exact} of {} observations bit-equal; worst {worst:?}", lines.len() - 1);
        worst
    }

    #[test]
    fn landers_are_exact_up_to_contact_and_close_after_it() {
        for id in ["LunarLander-v3", "LunarLanderContinuous-v3"] {
            let [before, after, returned] = errors(id, &Kwargs::new());
            assert_eq!(before, 0.0, "{id}: before the first contact");
            // Gymnasium's wheel of Box2D rounds otherwise in contacts: 8.3e-5 and 1.8e-3 were measured.
            assert!(after < 1e-4 && returned < 2e-3, "{id}: {after} after a contact, return {returned}");
        }
    }

    #[test]
    fn another_gravity_is_noticed() {
        let kwargs = Kwargs::from([("gravity".into(), Kwarg::Float(-9.99))]);
        let wrong = std::panic::catch_unwind(|| errors("LunarLander-v3", &kwargs));
        assert!(wrong.map_or(true, |[before, ..]| before > 0.0));
    }
}
