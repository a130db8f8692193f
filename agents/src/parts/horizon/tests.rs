#![allow(clippy::unwrap_used)]

use super::*;
use crate::ActionBuffer;

const LEVELS: usize = 4;
const SLOTS: usize = 64;

/// V's.
fn shape() -> MlpShape {
    MlpShape::new(1, &[3], 1, relax_nn::Activation::Tanh)
}

/// Rewards of `reward`, one dimension, two candidates that are alike: nothing for C to explain.
fn rollout(reward: f32) -> (Rollout, Candidates) {
    let rows = LEVELS * SLOTS;
    let mut r = Rollout::new(SLOTS, 1, 1, ActionBuffer::Discrete(vec![0; rows]));
    r.levels = (0..=LEVELS).map(|level| level * SLOTS).collect();
    r.slot = (0..rows).map(|row| (row % SLOTS) as u32).collect();
    r.observations = vec![1.0; rows];
    r.rewards = vec![reward; rows];
    r.terminated = vec![false; rows];
    r.truncated = vec![false; rows];
    let candidates = Candidates {
        next: vec![1.0; 2 * rows],
        rewards: vec![0.3; 2 * rows],
        going_on: vec![1.0; 2 * rows],
        weights: vec![0.5; 2 * rows],
        taken: vec![0; rows],
    };
    (r, candidates)
}

/// What V ≡ 0 gets added at the states that the rows of a rollout lead to.
fn corrections(horizon: &mut Horizon, batches: &[(Rollout, Candidates)], lambda: f32) -> Vec<f32> {
    let shape = shape();
    let parameters = vec![0.0; shape.parameter_count()];
    let normalise = |_: &mut [f32], _: &mut [f32]| {};
    for (rollout, candidates) in batches {
        horizon.begin(rollout);
        horizon.take(rollout, std::iter::once(candidates));
        let present = Present {
            shape: &shape,
            parameters: &parameters,
            gamma: 1.0,
            lambda: 1.0,
            bound: f32::INFINITY,
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
    // y = h at shares h/4. With a ridge of a hundredth a row the normal equations are 1.01 β₀ + 0.625 β₁ = 2.5 and
    // 0.625 β₀ + 0.47875 β₁ = 1.875; the first row leads to a state with three steps left, the last to none.
    let (first, slope) = (0.269_107, 3.565_456);
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
    assert!((calm - 2.943).abs() < 1e-2 && horizon.past.len() == 2, "{calm}");
    let mut none = Horizon::new(0, 1, &shape());
    none.begin(&rollout(1.0).0);
    none.take(&rollout(1.0).0, std::iter::empty());
    assert!(none.past.is_empty() && none.correction(0..1, 1.0).is_none());
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
        ("past.0.taken", StateTensor::U64(vec![2; rows])),
        ("past.0.successor", StateTensor::U64(vec![rows as u64 + 2 * SLOTS as u64; rows])),
        ("past.0.successor", StateTensor::U64(vec![u64::MAX; rows])),
        ("past.0.successor", StateTensor::U64(vec![0; rows])),
    ] {
        let mut damaged = state.clone();
        damaged.insert(name, tensor);
        assert!(horizon.restore(&damaged).is_err(), "{name}");
    }
    for name in
        ["weights", "past.0.rewards", "past.0.next", "past.0.observations", "past.0.shares_of_candidates"]
    {
        let mut damaged = state.clone();
        damaged.insert_f32(name, &[1.0; 3]);
        assert!(horizon.restore(&damaged).is_err(), "{name}");
    }
    assert_eq!((horizon.weights.clone(), horizon.past.clone()), before);
    horizon.restore(&state).unwrap();
}
