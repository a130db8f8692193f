#![allow(clippy::unwrap_used)]

use super::*;
use crate::ActionBuffer;

const LEVELS: usize = 4;
const SLOTS: usize = 64;

/// V's.
fn shape() -> MlpShape {
    MlpShape::new(1, &[3], 1, relax_nn::Activation::Tanh)
}

/// Rewards of `reward`, one dimension.
fn rollout(reward: f32) -> Rollout {
    let rows = LEVELS * SLOTS;
    let mut r = Rollout::new(SLOTS, 1, 1, ActionBuffer::Discrete(vec![0; rows]));
    r.levels = (0..=LEVELS).map(|level| level * SLOTS).collect();
    r.slot = (0..rows).map(|row| (row % SLOTS) as u32).collect();
    r.observations = vec![1.0; rows];
    r.rewards = vec![reward; rows];
    r.terminated = vec![false; rows];
    r.truncated = vec![false; rows];
    r
}

/// What V ≡ 0 gets added at the states that the rows of a rollout lead to.
fn corrections(horizon: &mut Horizon, batches: &[Rollout], lambda: f32) -> Vec<f32> {
    let shape = shape();
    let parameters = vec![0.0; shape.parameter_count()];
    let normalise = |_: &mut [f32], _: &mut [f32]| {};
    for rollout in batches {
        horizon.begin(rollout);
        horizon.take(rollout, std::iter::empty());
        let present = Present {
            shape: &shape,
            parameters: &parameters,
            gamma: 1.0,
            lambda: 1.0,
            reward_factor: 1.0,
            normalise,
        };
        horizon.fit(&present, &Compute::serial());
    }
    let rows = LEVELS * SLOTS;
    let mut workspace = Workspace::new();
    let mut values = vec![0.0; rows];
    shape.forward(&parameters, &vec![1.0; rows], &mut workspace, &mut values);
    horizon.correction(0..rows, lambda).unwrap().add(&workspace, &mut values);
    values
}

#[test]
fn what_v_misses_grows_with_the_steps_that_remain_and_is_nothing_at_the_end() {
    let mut horizon = Horizon::new(2, 1, &shape());
    assert!(horizon.correction(0..0, 1.0).is_none());
    let values = corrections(&mut horizon, &[rollout(1.0)], 1.0);
    // y = h at shares h/4. With a ridge of a thousandth a row the normal equations are 1.001 β₀ + 0.625 β₁ = 2.5 and
    // 0.625 β₀ + 0.46975 β₁ = 1.875; the first row leads to a state with three steps left, the last to none.
    let (first, slope) = (0.031_409, 3.949_695);
    for level in 0..LEVELS - 1 {
        let (value, left) = (values[level * SLOTS], (LEVELS - 1 - level) as f32);
        assert!((value - first - slope * left / 4.0).abs() < 1e-3, "{value} {left}");
    }
    assert_eq!(values[(LEVELS - 1) * SLOTS], 0.0);
    // λ is the share of V₂; and the state is whole.
    let half = corrections(&mut Horizon::new(2, 1, &shape()), &[rollout(1.0)], 0.5);
    assert!((half[0] - 0.5 * values[0]).abs() < 1e-6);
    let mut other = Horizon::new(2, 1, &shape());
    other.restore(&horizon.state()).unwrap();
    assert_eq!((&other.weights, &other.past, other.bound), (&horizon.weights, &horizon.past, horizon.bound));
    assert!(Horizon::new(0, 1, &shape()).restore(&horizon.state()).is_err());
}

#[test]
fn a_loud_batch_does_not_rule_and_the_oldest_makes_room() {
    let loud = corrections(&mut Horizon::new(2, 1, &shape()), &[rollout(1.0), rollout(100.0)], 1.0)[0];
    // Weighed alike, three steps would have 151.5.
    assert!(loud > 3.0 && loud < 60.0, "{loud}");
    let mut horizon = Horizon::new(2, 1, &shape());
    let calm = corrections(&mut horizon, &[rollout(100.0), rollout(1.0), rollout(1.0)], 1.0)[0];
    assert!((calm - 2.994).abs() < 1e-2 && horizon.past.len() == 2, "{calm}");
    let mut none = Horizon::new(0, 1, &shape());
    none.begin(&rollout(1.0));
    none.take(&rollout(1.0), std::iter::empty());
    assert!(none.past.is_empty() && none.correction(0..1, 1.0).is_none());
}

#[test]
fn what_the_actions_explain_is_not_vs_to_correct() {
    let (shape, rollout) = (shape(), rollout(1.0));
    let parameters = vec![0.0; shape.parameter_count()];
    let weights = |noise: f32, reward_factor: f32| {
        let mut horizon = Horizon::new(2, 1, &shape);
        horizon.begin(&rollout);
        horizon.take(&rollout, std::iter::repeat_n(noise, rollout.rows()));
        let normalise =
            |_: &mut [f32], rewards: &mut [f32]| rewards.iter_mut().for_each(|r| *r *= reward_factor);
        let (gamma, lambda, parameters) = (1.0, 1.0, &parameters[..]);
        horizon.fit(
            &Present { shape: &shape, parameters, gamma, lambda, reward_factor, normalise },
            &Compute::serial(),
        );
        horizon.weights
    };
    let slope = |weights: Vec<f32>| weights.last().copied().unwrap();
    // Half of each reward is the actions', whatever the scale; where it is all of it, nothing is left to be fitted.
    let (whole, half, scaled) =
        (slope(weights(0.0, 1.0)), slope(weights(0.5, 1.0)), slope(weights(0.5, 4.0)));
    assert!(
        (half - 0.5 * whole).abs() < 1e-4 && (scaled - 2.0 * whole).abs() < 1e-3,
        "{whole} {half} {scaled}"
    );
    assert!(weights(1.0, 4.0).is_empty());
}

#[test]
fn what_a_damaged_state_points_to_is_asked_for() {
    let mut horizon = Horizon::new(2, 1, &shape());
    corrections(&mut horizon, &[rollout(1.0)], 1.0);
    let state = horizon.state();
    let rows = LEVELS * SLOTS;
    let before = (horizon.weights.clone(), horizon.past.clone());
    for (name, tensor) in [
        ("batches", StateTensor::U64(vec![u64::MAX])),
        ("past.0.successor", StateTensor::U64(vec![rows as u64 + 2 * SLOTS as u64; rows])),
        ("past.0.successor", StateTensor::U64(vec![u64::MAX; rows])),
        ("past.0.successor", StateTensor::U64(vec![0; rows])),
    ] {
        let mut damaged = state.clone();
        damaged.insert(name, tensor);
        assert!(horizon.restore(&damaged).is_err(), "{name}");
    }
    for name in ["weights", "past.0.rewards", "past.0.observations", "past.0.shares"] {
        let mut damaged = state.clone();
        damaged.insert_f32(name, &[1.0; 3]);
        assert!(horizon.restore(&damaged).is_err(), "{name}");
    }
    assert_eq!((horizon.weights.clone(), horizon.past.clone()), before);
    horizon.restore(&state).unwrap();
}
