//! Training: what it measures, what it saves, its warm-up, and what it refuses.

use super::*;
use crate::vae::{METHODS, Trainer};
use relax_estimators::Coupling;

#[test]
fn log_variance_is_that_of_the_gradients() {
    let architecture = architectures()[1].clone();
    let x: Vec<f32> = IMAGES.iter().map(|&x| x as f32).collect();
    let mut trainer =
        Trainer::new(architecture, Settings::new(Estimator::LeaveOneOut { group: 2 }), &MEAN, 3).unwrap();
    let batches = vec![x; 4000];
    let before = trainer.state();
    let (first, again) = (trainer.log_variance(&batches, 1), trainer.log_variance(&batches, 1));
    assert_eq!(first, again);
    assert_eq!(trainer.state(), before);
    // Two independent measurements agree.
    let second = trainer.log_variance(&batches, 2);
    for (a, b) in first.iter().zip(&second) {
        assert!((a - b).abs() < 0.15, "{first:?} {second:?}");
    }
}

#[test]
fn a_restored_trainer_goes_on_bit_for_bit() {
    let architecture = &architectures()[1];
    let x: Vec<f32> = IMAGES.iter().map(|&x| x as f32).collect();
    for method in METHODS {
        let settings = settings(method);
        let fresh = || Trainer::new(architecture.clone(), settings.clone(), &MEAN, 5).unwrap();
        let (mut first, mut second) = (fresh(), fresh());
        for _ in 0..20 {
            first.step(&x);
        }
        second.restore(&first.state()).unwrap();
        for _ in 0..20 {
            assert_eq!(first.step(&x), second.step(&x), "{method}");
        }
        assert_eq!(first.state(), second.state(), "{method}");
    }
}

/// A window of the newest iterations and no more, and a damaged one is refused.
#[test]
fn the_surrogate_keeps_its_newest_calls() {
    let x: Vec<f32> = IMAGES.iter().map(|&x| x as f32).collect();
    let method = Estimator::Surrogate { group: 2, passes: 32 };
    let settings = Settings { replay_window: 4, replay: 2, ..settings(method) };
    let mut trainer = Trainer::new(architectures()[1].clone(), settings, &MEAN, 5).unwrap();
    for iteration in 1..7 {
        trainer.step(&x);
        assert_eq!(trainer.state().u64("replay.rows").unwrap(), vec![4; iteration.min(4)]);
    }
    for rows in [vec![4; 3], vec![5, 3, 4, 4], vec![u64::MAX, 17]] {
        let mut damaged = trainer.state();
        damaged.insert("replay.rows", relax_nn::StateTensor::U64(rows));
        assert!(trainer.restore(&damaged).unwrap_err().to_string().contains("even numbers that sum to 16"));
    }
}

/// Adam's first step is as long as the learning rate wherever there is a gradient.
#[test]
fn a_warm_up_trains_the_control_variate_alone() {
    let x: Vec<f32> = IMAGES.iter().map(|&x| x as f32).collect();
    let settings = Settings {
        warm_up: 3,
        learning_rate: 2e-3,
        control_variate_learning_rate: 5e-3,
        ..settings(Estimator::RelaxedRebar(Coupling::Coupled))
    };
    let mut trainer = Trainer::new(architectures()[1].clone(), settings, &MEAN, 5).unwrap();
    let parts = |trainer: &Trainer| {
        let state = trainer.state();
        ["model.parameters", "control_variate.parameters"].map(|name| match state.get(name).unwrap() {
            relax_nn::StateTensor::F32 { data, .. } => data.clone(),
            other => panic!("{name}: {other:?}"),
        })
    };
    let mut before = parts(&trainer);
    for iteration in 0..5 {
        trainer.step(&x);
        let after = parts(&trainer);
        let [model, control] = [0, 1].map(|part| {
            let moves = before[part].iter().zip(&after[part]).map(|(a, b)| f64::from((a - b).abs()));
            moves.fold(0.0, f64::max)
        });
        match iteration {
            0 => close("the control variate's first step", control, 5e-3, 1e-5),
            3 => close("the model's first step", model, 2e-3, 1e-5),
            _ => assert!(control > 0.0, "the control variate at iteration {iteration}"),
        }
        assert_eq!(model > 0.0, iteration >= 3, "the model at iteration {iteration}");
        before = after;
    }
}

#[test]
fn wrong_requests_are_errors_that_say_what() {
    let architecture = architectures()[0].clone();
    let fails = |settings: Settings, mean: &[f32]| {
        Trainer::new(architecture.clone(), settings, mean, 0).unwrap_err().to_string()
    };
    let fine = Settings::new(Estimator::Relax(Coupling::Independent));
    assert!(fails(fine.clone(), &MEAN[..2]).contains("3 pixels"));
    assert!(fails(Settings { learning_rate: 0.0, ..fine.clone() }, &MEAN).contains("learning_rate"));
    assert!(fails(Settings { control_variate_hidden: vec![], ..fine.clone() }, &MEAN).contains("hidden"));
    let no_baseline = Settings { method: Estimator::Baseline, ..fine.clone() };
    assert!(
        fails(no_baseline, &MEAN).contains("baseline does not train auto-encoders; there are reinforce,")
    );
    let mut trainer = Trainer::new(architecture.clone(), fine.clone(), &MEAN, 0).unwrap();
    let other = Trainer::new(architectures()[1].clone(), fine, &MEAN, 0).unwrap();
    assert!(trainer.restore(&other.state()).is_err());
}
