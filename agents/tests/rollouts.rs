//! Rollouts merge to what one worker would have made, and work may be shared out in any way.

use crate::common::{Task, agent, settings};
use relax_agents::{ActingScratch, ActionBuffer, Compute, Episode, Metrics, Rollout};
use relax_envs::{EnvRng, Space};
use relax_nn::FrameLayout;

const DIM: usize = 2;
const K: usize = 3;

/// What slot `slot` does in its step `t`: any numbers, but the same whoever asks.
fn step(slot: usize, t: usize) -> (EnvRng, bool, bool) {
    let mut rng = EnvRng::from_seed_sequence(9, &[slot as u32, t as u32]);
    let ends = rng.integers(0, 6);
    (rng, ends == 0 || ends == 2, ends <= 1)
}

/// What the observations are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kept {
    Numbers,
    /// Stacks of two bytes.
    Bytes,
    /// As these, until a number comes that is none.
    Tried,
}

/// The rollout of slots `slots`, slot i of all taking `lengths[i]` steps.
fn rollout(slots: std::ops::Range<usize>, lengths: &[usize], kept: Kept) -> Rollout {
    let observation = |rng: &mut EnvRng| {
        let x: [f32; DIM] = std::array::from_fn(|_| rng.random() as f32);
        if kept == Kept::Numbers || (kept == Kept::Tried && x[0] < 0.05) {
            x
        } else {
            x.map(|x| (4.0 * x).floor())
        }
    };
    let mut r = Rollout::new(slots.len(), DIM, K, ActionBuffer::Discrete(Vec::new()));
    r.set_mask_dim(K);
    let layout = FrameLayout { frames: DIM, bytes: 1, interleaved: false };
    r.keep_bytes((kept != Kept::Numbers).then_some(layout));
    let mut running = vec![0u32; slots.len()];
    let longest = slots.clone().map(|slot| lengths[slot]).max().unwrap_or(0);
    for t in 0..longest {
        for slot in slots.clone().filter(|&slot| t < lengths[slot]) {
            let local = slot - slots.start;
            let (mut rng, terminated, truncated) = step(slot, t);
            let row = r.rows() as u32;
            r.slot.push(local as u32);
            let x = observation(&mut rng);
            r.push_observation(local as u32, &x);
            r.masks.extend((0..K).map(|_| rng.random() < 0.5));
            r.noise.extend((0..K).map(|_| rng.random() as f32));
            let ActionBuffer::Discrete(actions) = &mut r.actions else { unreachable!() };
            actions.push(rng.next_u32() % 3);
            r.rewards.push(rng.random() as f32);
            r.terminated.push(terminated);
            r.truncated.push(truncated);
            running[local] += 1;
            r.open[local] = !(terminated || truncated);
            if terminated || truncated {
                r.episodes.push(Episode {
                    level: t as u32,
                    slot: local as u32,
                    total_reward: rng.random(),
                    length: std::mem::take(&mut running[local]),
                    terminated,
                });
            }
            if truncated && !terminated {
                r.truncated_rows.push(row);
                let x = observation(&mut rng);
                r.push_final_observation(local as u32, &x);
                r.final_masks.extend((0..K).map(|_| rng.random() < 0.5));
            }
        }
        r.levels.push(r.rows());
    }
    let last = if kept == Kept::Numbers { 0.5 } else { 7.0 };
    r.set_next_observations(&slots.clone().flat_map(|slot| [slot as f32, last]).collect::<Vec<f32>>());
    for slot in slots.clone() {
        let at = (slot - slots.start) * K;
        r.next_masks[at..at + K].copy_from_slice(&[slot % 2 == 0, slot % 3 == 0, true]);
    }
    r
}

#[test]
fn parts_merge_to_the_whole() {
    let mut rng = EnvRng::from_seed(4);
    let mut merged = Rollout::new(7, DIM, K, ActionBuffer::Discrete(Vec::new()));
    let (mut truncated, mut bytes, mut numbers) = (0, 0, 0);
    for case in 0..200 {
        // Ragged as whole episodes are, one step longer in front as the end of a budget is, or with slots that rest.
        let lengths: Vec<usize> = (0..7)
            .map(|slot| match case % 3 {
                0 => rng.integers(0, 9) as usize,
                1 => 4 + usize::from(slot < case % 7),
                _ => usize::from(slot < case % 7),
            })
            .collect();
        let kept = [Kept::Numbers, Kept::Bytes, Kept::Tried][case / 3 % 3];
        let whole = rollout(0..7, &lengths, kept);
        bytes += usize::from(whole.layout().is_some());
        numbers += usize::from(kept == Kept::Tried && whole.layout().is_none());
        truncated += whole.truncated_rows.len();
        let workers = 1 + case % 7;
        let parts: Vec<Rollout> =
            (0..workers).map(|i| rollout(i * 7 / workers..(i + 1) * 7 / workers, &lengths, kept)).collect();
        // Into a buffer that still holds the case before.
        merged.merge(parts.iter());
        assert_eq!(merged, whole, "{workers} workers, {kept:?}, {lengths:?}");
    }
    assert!(truncated > 100, "only {truncated} truncations");
    assert!(bytes > 66 && numbers > 10, "{bytes} cases of bytes, {numbers} that turned into numbers");
}

/// Batches of several shards, on one thread and on several: the same metrics and the same state, bit for bit.
#[test]
fn threads_change_nothing() {
    for text in [
        "kind = 'a2c'",
        "kind = 'reinforce'",
        "kind = 'relax-a2c'\nnoise = 'independent'",
        "kind = 'relax-a2c'\nvariance_objective = 'weights'\ncontrol_variate = 'pure'",
    ] {
        let learner = "control_variate_epochs = 2\nvalue_epochs = 2\nentropy = 0.01";
        let settings = settings(&format!("hidden = [8]\n{text}"), learner);
        let run = |compute: &Compute| {
            let mut agent = agent(&settings, Task::DIM, &Space::discrete(3), 6);
            let mut rng = EnvRng::from_seed(7);
            let mut all = Vec::new();
            for _ in 0..4 {
                let batch = Task::roll(&agent.acting_policy(), 900, &mut rng);
                let mut metrics = Metrics::default();
                agent.improve_policy(&batch, 0.0, compute, &mut metrics).unwrap();
                agent.fit_critics(&batch, 0.0, compute, &mut metrics).unwrap();
                all.push(metrics.values().map(f64::to_bits));
            }
            (all, agent.state())
        };
        let serial = run(&Compute::serial());
        for threads in [1, 2, 3, 5] {
            assert_eq!(serial, run(&Compute::with_threads(threads)), "{text}, {threads} threads");
        }
    }
}

/// What an action is does not depend on how many others are asked for with it: many go through the network in several parts.
#[test]
fn actions_do_not_depend_on_how_many_are_asked_for() {
    const ROWS: usize = 1300;
    let settings = settings("kind = 'a2c'\nhidden = [5, 4]", "");
    let policy = agent(&settings, DIM, &Space::uniform_box(-1.0, 1.0, &[K]), 3).acting_policy();
    let mut rng = EnvRng::from_seed_sequence(9, &[1]);
    let mut numbers = |count: usize| (0..count).map(|_| rng.standard_normal() as f32).collect::<Vec<_>>();
    let (observations, noise) = (numbers(ROWS * DIM), numbers(ROWS * K));
    let acted = |at_once: usize, greedily: bool| {
        let (mut scratch, mut actions) = (ActingScratch::default(), policy.distribution().action_buffer());
        actions.resize(ROWS);
        for start in (0..ROWS).step_by(at_once) {
            let rows = start..(start + at_once).min(ROWS);
            let seen = &observations[rows.start * DIM..rows.end * DIM];
            if greedily {
                policy.act_greedily(seen, &mut scratch, &mut actions, rows);
            } else {
                let noise = &noise[rows.start * K..rows.end * K];
                policy.act(seen, noise, &mut scratch, &mut actions, rows);
            }
        }
        actions
    };
    for greedily in [false, true] {
        let together = acted(ROWS, greedily);
        assert!([1, 300, 512].iter().all(|&at_once| acted(at_once, greedily) == together), "{greedily}");
    }
}
