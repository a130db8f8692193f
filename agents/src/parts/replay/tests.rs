use super::*;
use crate::ActionBuffer;

/// Two slots, three levels: slot 0 is truncated at level 1, slot 1 terminates at level 0.
fn rollout() -> Rollout {
    let mut r =
        Rollout::new(2, 1, 1, ActionBuffer::Box { values: (0..6).map(|i| i as f32).collect(), dim: 1 });
    r.levels = vec![0, 2, 4, 6];
    r.slot = vec![0, 1, 0, 1, 0, 1];
    r.observations = vec![10.0, 20.0, 11.0, 21.0, 12.0, 22.0];
    r.rewards = vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    r.terminated = vec![false, true, false, false, false, false];
    r.truncated = vec![false, false, true, false, false, false];
    r.truncated_rows = vec![2];
    r.final_observations = vec![99.0];
    r.next_observations = vec![13.0, 23.0];
    r.open = vec![true, true];
    r
}

/// All s and all s', place by place.
fn observations(replay: &Replay) -> (Vec<f32>, Vec<f32>) {
    let (mut own, mut next) = (Vec::new(), Vec::new());
    (0..replay.len()).for_each(|i| replay.stored.append(i, &mut own, &mut next));
    (own, next)
}

/// A rollout of stacks of three frames of two bytes, in two slots that begin anew now and then; `first` is its first step.
fn stacks(first: usize, steps: usize) -> Rollout {
    let stack = |slot: usize, t: usize| {
        let begun = t / 9 * 9;
        (0..3).flat_map(move |i| {
            let frame = begun.max((t + i).saturating_sub(2));
            [frame % 251, (7 * frame + slot) % 256].map(|byte| byte as f32)
        })
    };
    let mut r = Rollout::new(2, 6, 1, ActionBuffer::Box { values: vec![0.5; 2 * steps], dim: 1 });
    for t in first..first + steps {
        for slot in 0..2 {
            r.slot.push(slot as u32);
            r.push_observation(slot as u32, &stack(slot, t).collect::<Vec<_>>());
            r.rewards.push(t as f32);
            let (ends, cut) = (t % 9 == 8, t % 2 == 0);
            r.terminated.push(ends && !cut);
            r.truncated.push(ends && cut);
            if ends && cut {
                r.truncated_rows.push(r.rows() as u32 - 1);
                r.push_final_observation(slot as u32, &[250.0; 6]);
            }
        }
        r.levels.push(r.rows());
    }
    let next = (0..2).flat_map(|slot| stack(slot, first + steps));
    r.set_next_observations(&next.collect::<Vec<_>>());
    r
}

#[test]
fn bytes_are_the_numbers_with_every_frame_once() {
    let layout = FrameLayout { frames: 3, bytes: 2, interleaved: false };
    for capacity in [13, 40, 1000] {
        let mut bytes = Replay::of_bytes(capacity, layout, 1);
        let mut numbers = Replay::new(capacity, 6, 1);
        let mut first = 0;
        for steps in [1, 1, 5, 20, 3, 1, 11] {
            let batch = stacks(first, steps);
            first += steps;
            bytes.extend(&batch);
            numbers.extend(&batch);
            assert_eq!(observations(&bytes), observations(&numbers), "{capacity}, after {first} steps");
            // Taken up again from what was saved, it goes on alike.
            let mut other = Replay::of_bytes(capacity, layout, 1);
            other.restore(&bytes.state()).unwrap();
            assert_eq!(other, bytes);
            if steps == 5 {
                bytes = other;
            }
        }
        let Stored::Bytes(_) = &bytes.stored else { panic!("numbers") };
        let StateTensor::U8(frames) = bytes.state().get("frames").unwrap().clone() else {
            panic!("no bytes")
        };
        // A frame a transition, two more where an episode begins, one where it was cut, and the next ones.
        let (most, episodes) = (bytes.len(), bytes.len() / 9 + 4);
        assert!(frames.len() / 2 <= most + 4 * episodes, "{} frames of {most}", frames.len() / 2);
        let (mut drawn, mut expected) = (Minibatch::default(), Minibatch::default());
        bytes.sample_with_endings(50, 0.2, &mut EnvRng::from_seed(3), &mut drawn);
        numbers.sample_with_endings(50, 0.2, &mut EnvRng::from_seed(3), &mut expected);
        assert_eq!(drawn, expected);
        // A number that is no byte turns all into numbers; so does a state of numbers.
        let mut batch = stacks(first, 2);
        batch.observations[7] += 0.5;
        bytes.extend(&batch);
        numbers.extend(&batch);
        assert_eq!(bytes, numbers);
        let mut other = Replay::of_bytes(capacity, layout, 1);
        other.restore(&numbers.state()).unwrap();
        assert_eq!(other, numbers);
    }
}

#[test]
fn a_damaged_ring_of_bytes_is_refused() {
    let layout = FrameLayout { frames: 3, bytes: 2, interleaved: false };
    let mut replay = Replay::of_bytes(40, layout, 1);
    replay.extend(&stacks(0, 12));
    let state = replay.state();
    for (name, tensor) in [
        ("frames", StateTensor::U8(vec![0; 3])),
        ("frames", StateTensor::U8(vec![0; 2])),
        ("observations", StateTensor::U64(vec![0; 5])),
        ("next_observations", StateTensor::U64(vec![u64::MAX; 72])),
        ("newest", StateTensor::U64(vec![1 << 40; 6])),
        ("newest", StateTensor::U64(vec![0; 4])),
    ] {
        let mut damaged = state.clone();
        damaged.insert(name, tensor);
        let before = replay.clone();
        assert!(replay.restore(&damaged).is_err(), "{name}");
        assert_eq!(replay, before, "{name}");
    }
}

#[test]
fn a_truncated_transition_leads_to_its_final_observation_and_is_bootstrapped() {
    let mut replay = Replay::new(10, 1, 1);
    replay.extend(&rollout());
    assert_eq!(replay.len(), 6);
    assert_eq!(replay.bytes_per_transition(), 17);
    let (own, next) = observations(&replay);
    assert_eq!(own, rollout().observations);
    // Row 1 is terminal: its successor's value is never used.
    assert_eq!(next, [11.0, 20.0, 99.0, 22.0, 13.0, 23.0]);
    assert_eq!(replay.terminated, [0, 1, 0, 0, 0, 0]);
}

#[test]
fn the_oldest_transitions_make_room() {
    let mut replay = Replay::new(4, 1, 1);
    replay.extend(&rollout());
    assert_eq!((replay.len(), replay.cursor), (4, 2));
    assert_eq!(replay.rewards, [4.0, 5.0, 2.0, 3.0]);
    assert_eq!(replay.actions, [4.0, 5.0, 2.0, 3.0]);
    assert_eq!(observations(&replay).1, [13.0, 23.0, 99.0, 22.0]);
    let (mut drawn, mut rng) = (Minibatch::default(), EnvRng::from_seed(1));
    replay.sample(1000, &mut rng, &mut drawn);
    for (i, &reward) in drawn.rewards.iter().enumerate() {
        assert!((2.0..=5.0).contains(&reward));
        assert_eq!(drawn.actions[i], reward);
    }
    for reward in [2.0, 3.0, 4.0, 5.0] {
        let count = drawn.rewards.iter().filter(|&&r| r == reward).count();
        assert!((190..310).contains(&count), "{reward}: {count}");
    }
}

#[test]
fn a_share_of_a_minibatch_are_endings_as_long_as_they_are_stored() {
    let mut replay = Replay::new(8, 1, 1);
    replay.extend(&rollout());
    let (mut drawn, mut rng) = (Minibatch::default(), EnvRng::from_seed(1));
    replay.sample_with_endings(8, 0.25, &mut rng, &mut drawn);
    assert_eq!(drawn.rewards[..2], [1.0, 1.0]);
    assert_eq!(drawn.going_on[..2], [0.0, 0.0]);
    let mut changes = Vec::new();
    replay.newest_changes(4, &mut changes);
    assert_eq!(changes, [1.0, 1.0, 1.0, 88.0], "rows 5 to 2");
    replay.extend(&rollout());
    assert_eq!(replay.endings, [7], "the older one has been overwritten");
    changes.clear();
    replay.newest_changes(100, &mut changes);
    assert_eq!(changes.len(), 7);
}

#[test]
fn a_choice_is_kept_as_its_index() {
    let mut replay = Replay::new(8, 1, 1);
    let mut batch = rollout();
    batch.actions = ActionBuffer::Discrete(vec![2, 0, 1, 1, 0, 2]);
    replay.extend(&batch);
    assert_eq!(replay.actions, [2.0, 0.0, 1.0, 1.0, 0.0, 2.0]);
}

#[test]
fn a_restored_ring_goes_on_alike() {
    for capacity in [4, 7, 100] {
        let mut replay = Replay::new(capacity, 1, 1);
        replay.extend(&rollout());
        let mut other = Replay::new(capacity, 1, 1);
        other.restore(&replay.state()).unwrap();
        replay.extend(&rollout());
        other.extend(&rollout());
        assert_eq!(other, replay);
        assert!(Replay::new(3, 1, 1).restore(&replay.state()).is_err());
        assert!(Replay::new(capacity, 2, 1).restore(&replay.state()).is_err());
    }
}
