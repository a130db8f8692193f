//! Who wants a run to stop is heard in the middle of a long update too: it is taken back, together with its batch, to the bits that were
//! there before.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use relax_nn::StateTensor;

use super::*;

const CASES: [(&str, &str); 4] = [
    ("a2c", "CartPole-v1"),
    ("relax-a2c", "Pendulum-v1"),
    ("ppo", "CartPole-v1"),
    ("reinforce", "CartPole-v1"),
];

/// A trainer in the middle of its run, and the flag that stops it.
fn trainer(kind: &str, env: &str, workers: usize) -> (Trainer, Arc<AtomicBool>) {
    let text = format!(
        "[env]\nid = '{env}'\n[agent]\nkind = '{kind}'\nhidden = [4]\n[rollout]\nenvs = 4\nworkers = {workers}\n[run]\nenv_steps = 100_000\n"
    );
    let config = Config::from_toml(&text, "test", &[]).unwrap();
    let mut trainer = Trainer::new(&config).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    trainer.stop_when(&stop);
    (trainer, stop)
}

/// What is saved when the run is stopped in its third update, `early` or late; and what is when it ends after its second.
fn stopped(kind: &str, env: &str, workers: usize, early: bool) -> [StateDict; 2] {
    let (mut trainer, stop) = trainer(kind, env, workers);
    for update in 0..2 {
        trainer.advance(&|| 0.0, &|_, _| update == 1).unwrap().unwrap();
    }
    let before = trainer.state().unwrap();
    // However quick the machine is.
    trainer.pace = None;
    let asked = Cell::new(false);
    let set = |when: bool| {
        if when {
            asked.set(true);
            stop.store(true, Ordering::Relaxed);
        }
    };
    // The time is asked between the rollout and the policy's step, whether to pause between that and the critics'.
    let wall = || {
        set(early);
        0.0
    };
    let pause = |_, _| {
        set(!early);
        false
    };
    let advanced = trainer.advance(&wall, &pause).unwrap();
    assert!(asked.get(), "{kind}");
    assert!(advanced.is_none(), "{kind}, {workers} workers, early: {early}");
    assert!(trainer.finished().is_empty() && trainer.is_at_rest() && !trainer.is_midway());
    [before, trainer.state().unwrap()]
}

#[track_caller]
fn assert_equal([before, after]: &[StateDict; 2], what: &str) {
    let names = |state: &StateDict| state.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(before), names(after), "{what}");
    for (name, tensor) in before.iter() {
        let same = match (tensor, after.get(name).unwrap()) {
            (StateTensor::F32 { data: a, .. }, StateTensor::F32 { data: b, .. }) => {
                a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits()))
            }
            (StateTensor::F64(a), StateTensor::F64(b)) => {
                a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits()))
            }
            (a, b) => a == b,
        };
        assert!(same, "{what}: {name} differs");
    }
}

#[test]
fn an_update_can_be_taken_back() {
    for (kind, env) in CASES {
        for workers in 0..3 {
            for early in [true, false] {
                let states = stopped(kind, env, workers, early);
                assert_equal(&states, &format!("{kind}, {workers} workers, early: {early}"));
            }
        }
    }
}

#[test]
fn a_rollout_can_be_cut_short() {
    for (kind, env) in
        CASES.into_iter().chain(["ddpg", "sac", "relax-ddpg"].map(|kind| (kind, "Pendulum-v1")))
    {
        for workers in 0..3 {
            let (mut trainer, stop) = trainer(kind, env, workers);
            trainer.advance(&|| 0.0, &|_, _| true).unwrap().unwrap();
            let before = trainer.state().unwrap();
            trainer.pace = None;
            stop.store(true, Ordering::Relaxed);
            let asked = Cell::new(false);
            let wall = || {
                asked.set(true);
                0.0
            };
            assert!(trainer.advance(&wall, &|_, _| true).unwrap().is_none(), "{kind}");
            assert!(!asked.get(), "{kind}: the rollout came to its end");
            assert_equal(&[before, trainer.state().unwrap()], &format!("{kind}, {workers} workers"));
        }
    }
}

/// Where updates are short nothing is kept: they come to their end.
#[test]
fn short_updates_are_finished() {
    let (mut trainer, stop) = trainer("a2c", "CartPole-v1", 1);
    trainer.pace = Some(Duration::ZERO);
    stop.store(true, Ordering::Relaxed);
    assert!(trainer.advance(&|| 0.0, &|_, _| true).unwrap().is_some());
    assert_eq!(trainer.updates(), 1);
}
