#![allow(clippy::unwrap_used)]
use super::*;
use crate::config::{ActivationKind, OptimizerKind};
use crate::distribution::{Options, for_space};
use crate::parts::networks::Network;
use crate::parts::policy::Policy;
use crate::{ActingPolicy, ActingScratch, ActionBuffer, Compute, Rollout};
use relax_envs::{EnvRng, Space};
use relax_estimators::{Baseline, reinforce};

const DIM: usize = 3;
const CHOICES: usize = 4;

fn policy(hidden: &[usize]) -> Policy<()> {
    let distribution = for_space(&Space::discrete(CHOICES), &Options::default()).unwrap();
    let network = Network { hidden, activation: ActivationKind::Tanh };
    Policy::new(DIM, distribution, &network, OptimizerKind::Adam, &mut EnvRng::from_seed(1)).unwrap()
}

fn observation(slot: usize, level: usize) -> [f32; DIM] {
    std::array::from_fn(|i| ((slot * 31 + level * 7 + i) as f32).sin())
}

/// What `policy` does in `slots`, slot i of all taking `lengths[i]` steps, as an actor of these slots fills it.
fn fill(
    rollout: &mut Rollout,
    policy: &ActingPolicy,
    slots: Range<usize>,
    lengths: &[usize],
    scratch: &mut ActingScratch,
) {
    rollout.clear();
    scratch.keep_for(policy, rollout);
    for level in 0..slots.clone().map(|slot| lengths[slot]).max().unwrap_or(0) {
        let start = rollout.rows();
        for slot in slots.clone().filter(|&slot| level < lengths[slot]) {
            rollout.slot.push((slot - slots.start) as u32);
            rollout.push_observation(0, &observation(slot, level));
            rollout.noise.extend(observation(slot + 1, level).map(|x| 0.5 + 0.4 * x).iter().chain(&[0.5]));
        }
        let rows = start..rollout.rows();
        rollout.actions.resize(rows.end);
        rollout.rewards.resize(rows.end, 1.0);
        rollout.terminated.resize(rows.end, false);
        rollout.truncated.resize(rows.end, false);
        let (x, noise) = (&rollout.observations[start * DIM..], &rollout.noise[start * CHOICES..]);
        policy.act(x, noise, scratch, &mut rollout.actions, rows.clone());
        rollout.levels.push(rows.end);
    }
    scratch.give(rollout);
}

fn empty(slots: usize) -> Rollout {
    Rollout::new(slots, DIM, CHOICES, ActionBuffer::Discrete(Vec::new()))
}

/// The gradient of a policy whose ĝ is the score, and the outputs behind it.
fn gradient(policy: &mut Policy<()>, batch: &Rollout) -> (Vec<f32>, Vec<f32>) {
    let sums = policy.gradient(batch, &Compute::with_threads(2), 0.01, |_, rows, shard| {
        let ones = vec![1.0; rows.len()];
        reinforce(&shard.samples.moments.score, &ones, Baseline::None, &mut shard.estimate);
    });
    assert!(sums.unwrap().entropy > 0.0);
    let mut estimates = Vec::new();
    let gradient = policy.last_gradient(&mut estimates).to_vec();
    (gradient, estimates)
}

/// Where every shard of `batch` finds its activations: in the chunk, brought together, or not at all.
fn places(batch: &Rollout, policy: &Policy<()>) -> Vec<&'static str> {
    let shape = policy.snapshot().network().clone();
    let count = batch.rows().div_ceil(SHARD_ROWS);
    let place = |i: usize| {
        let rows = shard_rows_of(SHARD_ROWS, i, batch.rows());
        let (mut own, mut output) = (EncodedWorkspace::default(), vec![0.0; rows.len() * CHOICES]);
        let x = batch.seen(rows).numbers();
        match batch.kept.find(policy.stamp(), &shape, (i, batch.rows(), x), &mut own, &mut output) {
            Ok(Found::There(_)) => "there",
            Ok(Found::Here(_)) => "here",
            Err(_) => "nowhere",
        }
    };
    (0..count).map(place).collect()
}

/// With what was kept and without: the same bits, whoever filled the rows, in shards that end within a level and at its end.
#[test]
fn the_gradient_goes_on_from_what_was_kept() {
    for hidden in [&[24, 16][..], &[8], &[]] {
        for (slots, length) in [(300, 5), (256, 4), (7, 3), (1, 1), (520, 1)] {
            let mut policy = policy(hidden);
            let lengths: Vec<usize> = (0..slots).map(|slot| length + usize::from(slot < slots / 3)).collect();
            let acting = policy.snapshot();
            let mut whole = empty(slots);
            fill(&mut whole, &acting, 0..slots, &lengths, &mut ActingScratch::default());
            assert!(places(&whole, &policy).iter().all(|&place| place == "there"), "{slots}");
            let kept = gradient(&mut policy, &whole);

            let mut copy = empty(slots);
            copy.merge(std::iter::once(&whole));
            assert!(places(&copy, &policy).iter().all(|&place| place == "there"));
            assert_eq!(gradient(&mut policy, &copy), kept);

            let workers = 3.min(slots);
            let parts: Vec<Rollout> = (0..workers)
                .map(|i| {
                    let own = i * slots / workers..(i + 1) * slots / workers;
                    let mut part = empty(own.len());
                    fill(&mut part, &acting, own, &lengths, &mut ActingScratch::default());
                    part
                })
                .collect();
            let mut merged = empty(slots);
            merged.merge(parts.iter());
            assert!(places(&merged, &policy).iter().all(|&place| place != "nowhere"));
            assert_eq!(gradient(&mut policy, &merged), kept);

            whole.kept.clear();
            assert!(places(&whole, &policy).iter().all(|&place| place == "nowhere"));
            assert_eq!(gradient(&mut policy, &whole), kept);
        }
    }
}

/// Another policy than the one that acted, a buffer that has been filled anew, and parts that different policies acted in: nothing is
/// found, and the gradient is that of the rows at hand.
#[test]
fn what_belongs_to_others_is_not_found() {
    let (mut policy, mut scratch, lengths) = (policy(&[16]), ActingScratch::default(), [3; 300]);
    let acting = policy.snapshot();
    let mut first = empty(300);
    fill(&mut first, &acting, 0..300, &lengths, &mut scratch);
    let copy = first.clone();
    let of_first = gradient(&mut policy, &first);
    assert_eq!(places(&copy, &policy), ["there"; 2]);

    fill(&mut first, &acting, 0..300, &[2; 300], &mut scratch);
    assert_eq!(places(&copy, &policy), ["nowhere"; 2]);
    assert_eq!(gradient(&mut policy, &copy), of_first);
    assert_eq!(places(&first, &policy), ["there"; 2]);

    let mut foreign = empty(300);
    policy.step(0.01, 0.5).unwrap();
    assert_eq!(places(&first, &policy), ["nowhere"; 2]);
    fill(&mut foreign, &policy.snapshot(), 0..300, &lengths, &mut ActingScratch::default());
    assert_eq!(places(&foreign, &policy), ["there"; 2]);
    let mut mixed = empty(600);
    mixed.merge([&first, &foreign].into_iter());
    assert_eq!(places(&mixed, &policy), ["nowhere"; 3]);

    // Observations that an agent has changed since.
    let (mut changed, mut merged) = (foreign.clone(), empty(600));
    changed.observations[600 * DIM] += 1.0;
    assert_eq!(places(&changed, &policy), ["there", "nowhere"]);
    merged.merge([&foreign, &changed].into_iter());
    assert_eq!(places(&merged, &policy), ["here", "here", "nowhere", "here"]);
    let with_kept = gradient(&mut policy, &changed);
    changed.kept.clear();
    assert_eq!(gradient(&mut policy, &changed), with_kept);

    let state = policy.state();
    policy.restore(&state).unwrap();
    assert_eq!(places(&foreign, &policy), ["nowhere"; 2]);
    let mut loaded = acting;
    loaded.set_parameters(&policy.parameters());
    fill(&mut foreign, &loaded, 0..300, &lengths, &mut scratch);
    assert_eq!(places(&foreign, &policy), ["nowhere"; 2]);
}

/// More than a cache holds is not kept, from the filling on that shows it.
#[test]
fn too_much_is_not_kept() {
    let (policy, mut scratch) = (policy(&[256, 256]), ActingScratch::default());
    let (acting, slots) = (policy.snapshot(), 1000);
    let mut rollout = empty(slots);
    fill(&mut rollout, &acting, 0..slots, &vec![3; slots], &mut scratch);
    assert_eq!(places(&rollout, &policy)[0], "there");
    let made = MOST_BYTES / (4 * (512 + CHOICES)) / slots + 1;
    fill(&mut rollout, &acting, 0..slots, &vec![made; slots], &mut scratch);
    assert_eq!(places(&rollout, &policy)[0], "nowhere");
    fill(&mut rollout, &acting, 0..slots, &vec![3; slots], &mut scratch);
    assert_eq!(places(&rollout, &policy)[0], "nowhere");
}
