use super::*;
use crate::Compute;
use crate::parts::critic::Critic;
use crate::parts::networks::Network;
use relax_envs::EnvRng;

#[test]
fn merged_batches_have_the_moments_of_the_whole() {
    let x: Vec<f32> = (0..60).map(|i| ((i * 37 % 61) as f32).sin() * 3.0 + 100.0).collect();
    let mut whole = RunningMoments::new(2);
    whole.merge(&x);
    let mut parts = RunningMoments::new(2);
    for part in [&x[..2], &x[2..30], &x[30..30], &x[30..]] {
        parts.merge(part);
    }
    for i in 0..2 {
        let column: Vec<f64> = x.iter().skip(i).step_by(2).map(|&x| f64::from(x)).collect();
        let mean = column.iter().sum::<f64>() / 30.0;
        let std = (column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 30.0).sqrt();
        for moments in [&whole, &parts] {
            assert!((moments.mean[i] - mean).abs() < 1e-9);
            assert!((moments.std(i) - std).abs() < 1e-8);
        }
    }
    let (mut scaling, mut y) = (Scaling::default(), x);
    scaling.set(&whole);
    scaling.apply(&mut y);
    let mut after = RunningMoments::new(2);
    after.merge(&y);
    assert!(after.mean.iter().all(|m| m.abs() < 1e-4) && (after.std(0) - 1.0).abs() < 1e-4);
}

#[test]
fn the_running_return_is_discounted_and_ends_with_its_episode() {
    let mut rollout = Rollout::new(1, 1, 1, crate::ActionBuffer::Discrete(vec![0; 3]));
    rollout.levels = vec![0, 1, 2, 3];
    rollout.slot = vec![0; 3];
    rollout.rewards = vec![1.0, 2.0, 4.0];
    rollout.terminated = vec![false, true, false];
    rollout.truncated = vec![false; 3];
    let mut rewards = RewardMoments::new(0.5);
    rewards.merge(&rollout);
    assert_eq!(rewards.scratch, [1.0, 2.5, 4.0]);
    assert_eq!(rewards.running, [4.0]);
}

/// One row in each slot, `rewards` long, every episode going on.
fn row(observation: f32, rewards: &[f32]) -> Rollout {
    let slots = rewards.len();
    let mut rollout = Rollout::new(slots, 1, 1, crate::ActionBuffer::Discrete(vec![0; slots]));
    rollout.levels = vec![0, slots];
    rollout.slot = (0..slots as u32).collect();
    rollout.observations = vec![observation; slots];
    rollout.next_observations = vec![observation; slots];
    rollout.noise = vec![0.5; slots];
    rollout.rewards = rewards.to_vec();
    rollout.terminated = vec![false; slots];
    rollout.truncated = vec![false; slots];
    rollout.open = vec![true; slots];
    rollout
}

const ASKED: Normalization = Normalization {
    observations: true,
    rewards: true,
    reward_scale: 1.0,
    gamma: 0.99,
    preserve_values: false,
};

fn normalizer() -> Normalizer {
    Normalizer::new(&Space::uniform_box(-1.0, 1.0, &[1]), ASKED)
}

#[test]
fn choices_stay_as_they_are_but_not_in_the_runs_of_versions_that_scaled_them() {
    let batch = row(0.0, &[1.0; 4]);
    let seen = |normalizer: &Normalizer| {
        let mut observations = [1.0];
        normalizer.observations(&mut observations);
        observations[0]
    };
    let mut numbers = normalizer();
    for space in [Space::discrete(1), Space::MultiBinary { n: 1 }, Space::MultiDiscrete { nvec: vec![1] }] {
        let mut choices = Normalizer::new(&space, ASKED);
        for normalizer in [&mut choices, &mut numbers] {
            rewards(normalizer, &row(0.25, &[1.0; 4]));
            rewards(normalizer, &batch);
        }
        assert_eq!(seen(&choices), 1.0);
        assert_ne!(seen(&numbers), 1.0);
        let mut state = StateDict::new();
        numbers.save(&mut state);
        let mut resumed = Normalizer::new(&space, ASKED);
        resumed.restore(&state).expect("it fits");
        assert_eq!(seen(&resumed), seen(&numbers));
    }
}

/// The rewards of `batch` as an agent learns from them.
fn rewards(normalizer: &mut Normalizer, batch: &Rollout) -> Vec<f32> {
    normalizer.begin(batch);
    let mut own = batch.clone();
    normalizer.rollout(&mut own);
    normalizer.end(batch);
    own.rewards
}

#[test]
fn a_divisor_starts_at_the_root_mean_square_and_becomes_the_deviation() {
    let fresh = || RunningMoments { prior: 100.0, ..RunningMoments::new(1) };
    let mut moments = fresh();
    assert_eq!(moments.divisor(0, 0.1), 1.0);
    moments.merge(&[0.0; 8]);
    assert_eq!(moments.divisor(0, 0.1), 1.0);
    // Four rows of 5: no variation, so d² = 100·25/104.
    let mut moments = fresh();
    moments.merge(&[5.0; 4]);
    assert!((moments.divisor(0, 0.1) - (2500.0f64 / 104.0).sqrt()).abs() < 1e-12);
    // A million of them: the floor.
    moments.merge(&vec![5.0; 1_000_000]);
    assert!((moments.divisor(0, 0.1) - 0.5).abs() < 1e-12);
    // 7 ± 1 for long: the deviation, but for K/n of the mean square 50.
    let mut moments = fresh();
    moments.merge(&[6.0, 8.0].repeat(500_000));
    assert!((moments.divisor(0, 0.1) - 1.0).abs() < 3e-3);
}

#[test]
fn the_first_rewards_are_not_divided_by_a_deviation_that_nobody_knows() {
    // One step a batch and 1 a step: the running returns are all equal, and differ from batch to batch only.
    let mut normalizer = normalizer();
    let first = rewards(&mut normalizer, &row(0.0, &[1.0; 4]));
    // n = 4, K = 400, E[x²] = 1: d² = 400/404.
    assert!(first.iter().all(|r| (r - 1.01f32.sqrt()).abs() < 1e-6), "{first:?}");
    let mut last = first[0];
    for step in 0..5000 {
        let next = rewards(&mut normalizer, &row(0.0, &[1.0; 4]))[0];
        assert!(next <= last.max(0.2) && next > 0.0, "step {step}: {next} after {last}");
        last = next;
    }
    // The return settles at 100 and hardly varies: the floor, a tenth of the root mean square.
    assert!((0.05..0.12).contains(&last), "{last}");
}

#[test]
fn a_late_first_reward_is_no_explosion() {
    let mut normalizer = normalizer();
    for _ in 0..1000 {
        assert_eq!(rewards(&mut normalizer, &row(0.0, &[0.0; 4])), [0.0; 4]);
    }
    // 1 after 4000 rows of 0: E[x²] = 1/4004 = Var but for its square, d = 0.0158, 1/d = 63: cut off.
    assert_eq!(rewards(&mut normalizer, &row(0.0, &[0.0, 1.0, 0.0, -1.0])), [0.0, CLIP, 0.0, -CLIP]);
    // Whatever its size.
    let mut normalizer = self::normalizer();
    rewards(&mut normalizer, &row(0.0, &[0.0; 4]));
    let late = rewards(&mut normalizer, &row(0.0, &[1e8, 0.0, 0.0, 0.0]));
    // Of eight rows one is 1e8: d² = (n·7/64 + K/8)/(n + K)·1e16 with n = 8, K = 400.
    let divisor = ((8.0f64 * 7.0 / 64.0 + 50.0) / 408.0).sqrt();
    assert!((f64::from(late[0]) - 1.0 / divisor).abs() < 1e-5, "{late:?} {divisor}");
}

#[test]
fn observations_that_have_not_varied_are_not_blown_up() {
    let mut normalizer = normalizer();
    // Before anything is known an observation is as it is, cut off.
    let mut own = row(25.0, &[0.0]);
    normalizer.rollout(&mut own);
    assert_eq!(own.observations, [10.0]);
    rewards(&mut normalizer, &row(25.0, &[0.0]));
    let mut own = row(26.0, &[0.0]);
    normalizer.rollout(&mut own);
    // n = 1, K = 100: d² = 100/101·625.
    let expected = 1.0 / (62_500.0f64 / 101.0).sqrt();
    assert!((f64::from(own.observations[0]) - expected).abs() < 1e-6, "{:?}", own.observations);
}

#[test]
fn what_is_drawn_from_a_replay_is_on_the_scale_of_now() {
    let mut normalizer = normalizer();
    let mut replay = crate::parts::replay::Replay::new(10, 1, 0);
    let (old, new) = (row(4.0, &[2.0]), row(-8.0, &[-6.0]));
    for batch in [&old, &new] {
        normalizer.begin(batch);
        normalizer.end(batch);
        replay.extend(batch);
    }
    let mut drawn = Minibatch::default();
    replay.sample(64, &mut relax_envs::EnvRng::from_seed(3), &mut drawn);
    normalizer.minibatch(&mut drawn);
    // Observations 4 and −8: mean −2, n·Var = 72, E[x²] = 40, K = 100; the rewards' scale is the one before the newest.
    let divisor = ((72.0f64 + 4000.0) / 102.0).sqrt();
    let reward = (2.0f64 * 2.0 * 100.0 / 101.0).sqrt();
    let mut kinds = [0; 2];
    for ((x, next), r) in drawn.observations.iter().zip(&drawn.next_observations).zip(&drawn.rewards) {
        let (kind, raw, raw_reward) = if *x > 0.0 { (0, 4.0, 2.0) } else { (1, -8.0, -6.0) };
        kinds[kind] += 1;
        assert!((f64::from(*x) - (raw + 2.0) / divisor).abs() < 1e-6);
        assert_eq!(x, next);
        assert!((f64::from(*r) - raw_reward / reward).abs() < 1e-5, "{r}");
    }
    assert!(kinds.iter().all(|&count| count > 10), "{kinds:?}");
}

#[test]
fn statistics_come_back_from_a_checkpoint() -> Result<(), AgentError> {
    let mut normalizer = normalizer();
    for i in 0..20 {
        rewards(&mut normalizer, &row(i as f32, &[1.0, i as f32]));
    }
    let mut state = StateDict::new();
    normalizer.save(&mut state);
    let mut other = self::normalizer();
    other.restore(&state)?;
    assert_eq!(other.scaling, normalizer.scaling);
    let next = row(3.0, &[2.0, 5.0]);
    assert_eq!(rewards(&mut other, &next), rewards(&mut normalizer, &next));
    Ok(())
}

#[test]
fn a_critic_that_is_kept_goes_on_saying_what_it_said() {
    let asked = Normalization { preserve_values: true, ..ASKED };
    let space = Space::uniform_box(-1e3, 1e3, &[2]);
    let mut normalizer = Normalizer::new(&space, asked);
    let network = Network { hidden: &[8, 8], activation: crate::config::ActivationKind::Tanh };
    let optimizer = crate::config::OptimizerKind::Adam;
    let mut critic = Critic::new(2, &network, optimizer, &mut EnvRng::from_seed(3)).expect("a network");
    let mut rng = EnvRng::from_seed(4);
    let mut draw =
        |n: usize, size: f32| (0..n).map(|_| size * (rng.uniform_open_f32() - 0.3)).collect::<Vec<f32>>();
    let said = |critic: &mut Critic, normalizer: &Normalizer, at: &Rollout| {
        let mut own = at.clone();
        normalizer.observations(&mut own.observations);
        critic.evaluate(&own, 0.9, 0.9, &Compute::serial());
        critic.values().to_vec()
    };
    let batch = |draw: &mut dyn FnMut(usize, f32) -> Vec<f32>, i: usize| {
        let size = 1.0 + i as f32;
        let mut batch = row(0.0, &draw(4, size));
        batch.observation_dim = 2;
        batch.observations = draw(8, size);
        batch.next_observations = draw(8, size);
        batch
    };
    let at = batch(&mut draw, 0);
    let mut so_far = [1.0; 2];
    for i in 0..60 {
        let batch = batch(&mut draw, i);
        normalizer.begin(&batch);
        let before = said(&mut critic, &normalizer, &at);
        let (old, before_it) = (normalizer.inverse_reward, normalizer.clone());
        normalizer.end(&batch);
        let moved = normalizer.advance().expect("asked for").clone();
        let new = normalizer.inverse_reward;
        critic.keep(&moved);
        let after = said(&mut critic, &normalizer, &at);
        // What the next batch begins with is what was gone on to.
        let mut next = normalizer.clone();
        next.begin(&batch);
        assert_eq!(next.inverse_reward, new);
        if i < 20 {
            assert!(moved.observations().is_none() && moved.rewards() == 1.0, "batch {i}: not settled");
            continue;
        }
        let (factor, _) = moved.observations().expect("settled");
        so_far[0] *= factor[0];
        so_far[1] *= moved.rewards();
        for (before, after) in before.iter().zip(&after) {
            assert!((before * new / old - after).abs() < 1e-4 * (1.0 + before.abs()), "{before} {after}");
        }
        // Numbers on the old scale are brought to the new one.
        let (mut old_scale, mut new_scale) = (at.observations.clone(), at.observations.clone());
        before_it.observations(&mut old_scale);
        normalizer.observations(&mut new_scale);
        let mut reward = [2.0];
        moved.bring(&mut old_scale, &mut reward);
        assert!(old_scale.iter().zip(&new_scale).all(|(a, b)| (a - b).abs() < 1e-4));
        assert!((reward[0] - 2.0 * new / old).abs() < 1e-5);
    }
    assert!(so_far[0] > 1.5 && so_far[1] < 0.7, "the scales of ever larger numbers: {so_far:?}");
    assert!(Normalizer::new(&space, ASKED).advance().is_none(), "nothing moves unless it is asked to");
}
