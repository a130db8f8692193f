#![allow(clippy::unwrap_used)]

use super::*;
use crate::ActionBuffer;
use crate::config::ActivationKind;

const DECAY: f32 = 0.9;
const PROBS: [f32; 3] = [0.5, 0.3, 0.2];

/// Slots 0 and 1 in turn; an episode ends in slot 0 at row 4.
fn rollout(rows: usize) -> Rollout {
    let mut r = Rollout::new(2, 1, 3, ActionBuffer::Discrete(Vec::new()));
    for row in 0..rows {
        r.slot.push((row % 2) as u32);
        r.observations.push(((row * row) as f32).sin());
        r.terminated.push(row == 4);
        r.truncated.push(false);
        r.rewards.push(0.0);
    }
    r.actions = ActionBuffer::Discrete((0..rows).map(|row| [0, 2, 1, 0, 1, 2, 0][row % 7]).collect());
    r
}

fn function(batch: &Rollout) -> AdvantageFunction {
    let network = Network { hidden: &[16], activation: ActivationKind::Tanh };
    let rng = &mut EnvRng::from_seed(3);
    let mut function = AdvantageFunction::new(1, 3, &network, OptimizerKind::Adam, rng).unwrap();
    function.net.parameters.iter_mut().enumerate().for_each(|(i, w)| *w += (i as f32).sin());
    function.evaluate(batch, &Compute::serial());
    for i in 0..function.shards.len() {
        let rows = shard_rows(i, batch.rows()).len();
        function.remember(i, &PROBS.repeat(rows));
    }
    function
}

/// C and G have the mean and the gradient that they should, whatever is cut off, and an impossible choice takes no part.
#[test]
fn the_advantages_are_centred_within_every_bound() {
    let batch = rollout(6);
    let function = function(&batch);
    for probs in [PROBS, [0.7, 0.3, 0.0]] {
        for bound in [f32::INFINITY, 0.3, 0.01] {
            let mut of = [(); 3].map(|()| Advantages::default());
            for (taken, of) in of.iter_mut().enumerate() {
                function.expect(0, (&probs.repeat(6), &[taken as u32; 6]), bound, of);
            }
            for row in 0..6 {
                let c = [0, 1, 2].map(|i: usize| of[i].c[row]);
                let centre: f32 = (0..3).map(|i| probs[i] * c[i]).sum();
                assert!(centre.abs() < 1e-6, "{centre}");
                assert!(c.iter().zip(probs).all(|(c, p)| p == 0.0 || c.abs() <= 2.0 * bound));
                for i in 0..3 {
                    assert!((of[0].g[3 * row + i] - probs[i] * c[i]).abs() < 1e-6);
                }
            }
        }
    }
}

/// What Â is told is L's derivative, by differences of L at every output of f.
#[test]
fn the_gradient_is_that_of_the_objective() {
    let batch = rollout(11);
    let mut function = function(&batch);
    let advantages: Vec<f32> = (0..11).map(|i| (i as f32 * 1.7).cos()).collect();
    let taken = batch.actions.choice_rows(0..11).to_vec();
    let loss = |function: &mut AdvantageFunction| {
        function.find_residuals(&batch, &advantages, DECAY, &taken);
        function.residuals.iter().map(|&e| f64::from(e) * f64::from(e)).sum::<f64>() / 22.0
    };
    loss(&mut function);
    function.accumulate(&batch, DECAY);
    let told = function.residuals.clone();
    function.shards[0].differentiate(&told, &taken, 11);
    let gradient = function.shards[0].d_f.clone();
    for (i, &gradient) in gradient.iter().enumerate() {
        let f = function.shards[0].f[i];
        let step = 1e-2;
        let [above, below] = [step, -step].map(|step| {
            function.shards[0].f[i] = f + step;
            loss(&mut function)
        });
        function.shards[0].f[i] = f;
        let difference = (above - below) / f64::from(2.0 * step);
        assert!((difference - f64::from(gradient)).abs() < 1e-4, "{i}: {difference} {gradient}");
    }
}

/// Returns that are made of advantages are explained by them, on one thread and on two, bit for bit.
#[test]
fn the_fit_finds_advantages_that_are_there() {
    let batch = rollout(1200);
    let taken = batch.actions.choice_rows(0..1200).to_vec();
    // [1, −1, −1] with probabilities .5, .3, .2 is centred already.
    let mut advantages: Vec<f32> = taken.iter().map(|&a| if a == 0 { 1.0 } else { -1.0 }).collect();
    let mut sums = [0.0; 2];
    for row in (0..1200).rev() {
        let sum = &mut sums[row % 2];
        if batch.terminated[row] {
            *sum = 0.0;
        }
        *sum = advantages[row] + DECAY * *sum;
        advantages[row] = *sum;
    }
    let fit = |compute: &Compute| {
        let mut function = function(&batch);
        let losses: Vec<f64> = (0..30)
            .map(|_| {
                function.evaluate(&batch, compute);
                function.fit(&batch, (&advantages, DECAY), 10, (1e-2, 0.0), compute).unwrap()
            })
            .collect();
        (losses, function.state())
    };
    let (losses, state) = fit(&Compute::serial());
    assert!(losses[29] < 0.01 * losses[0], "{losses:?}");
    assert_eq!(fit(&Compute::with_threads(2)), (losses, state.clone()));

    let mut other = function(&batch);
    other.restore(&state).unwrap();
    assert_eq!(other.state(), state);
    assert!(other.restore(&StateDict::new()).is_err());
}
