//! `relax certify` and `relax variance`: nothing is biased, every known mistake is found out, and the parts add up.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::relax;
use relax_rl::certify::{CertifyOptions, bugs, certify};

/// Coarser than the default, so that the suite stays quick.
fn options() -> CertifyOptions {
    CertifyOptions { detectable: 0.15, jobs: 2, ..CertifyOptions::default() }
}

#[test]
fn every_estimator_and_agent_is_unbiased() {
    let seen = AtomicUsize::new(0);
    let found = certify(&options(), None, |_| {
        seen.fetch_add(1, Ordering::Relaxed);
    })
    .unwrap();
    assert!(found.passes(), "{:#}", found.to_json());
    assert_eq!(seen.into_inner(), found.verdicts.len());
    assert!(found.verdicts.len() >= 30);
}

#[test]
fn every_known_mistake_is_found_out() {
    let options = CertifyOptions { detectable: 0.05, ..options() };
    for (name, meaning) in bugs() {
        let found = certify(&options, Some(name), |_| {}).unwrap();
        assert!(!found.passes(), "{name}: {meaning}\n{:#}", found.to_json());
    }
}

#[test]
fn the_program_says_so_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("x.json");
    let run = |arguments: &[&str]| relax().arg("certify").args(arguments).output().unwrap();
    let biased = run(&["--inject", "missing-w", "--json", json.to_str().unwrap()]);
    assert_eq!(biased.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&biased.stdout).contains("BIASED"));
    let found: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!((&found["passes"], &found["injected"]), (&false.into(), &"missing-w".into()));
    let unknown = run(&["--inject", "missing-x"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("wrong-z-tilde"));
}

#[test]
fn a_variance_has_its_parts() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("{}/configs/cartpole-relax.toml", env!("CARGO_MANIFEST_DIR"));
    let output = relax()
        .args([
            "variance",
            &config,
            "--set",
            "run.env_steps=6000",
            "--points",
            "2",
            "--states",
            "40",
            "--out",
        ])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("action-dependent control variate"));
    let text = std::fs::read_to_string(folder.path().join("variance.json")).unwrap();
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    for point in found["points"].as_array().unwrap() {
        for space in ["parameters", "weights"] {
            let shares = point[space]["shares"].as_array().unwrap();
            let sum: f64 = shares.iter().map(|share| share["value"].as_f64().unwrap()).sum();
            assert!((sum - 1.0).abs() < 1e-9);
        }
    }
    assert_eq!(found["points"].as_array().unwrap().len(), 2);
    assert!(folder.path().join("cartpole-v1-relax-a2c-shares.png").is_file());
    let ddpg = config.replace("cartpole-relax", "pendulum-ddpg");
    let output = relax().args(["variance", &ddpg, "--set", "run.env_steps=2000"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no estimator"));
}

#[test]
fn whole_batches_are_compared_with_a2cs() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    let run = |arguments: &[&str]| {
        relax().current_dir(folder.path()).args(["variance"]).args(arguments).output().unwrap()
    };
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let text = |kind: &str| {
        format!("[env]\nid = \"CartPole-v1\"\n[agent]\nkind = \"{kind}\"\n[run]\nenv_steps = 4096\n")
    };
    file("a2c.toml", &text("a2c"));
    let points = |name: &str| {
        let json = std::fs::read_to_string(folder.path().join(name).join("batches.json")).unwrap();
        let found: serde_json::Value = serde_json::from_str(&json).unwrap();
        found["points"].as_array().unwrap().clone()
    };

    // A2C is itself, whatever chance does.
    let own = run(&["a2c.toml", "--batches", "5", "--points", "2", "--out", "own"]);
    assert!(own.status.success(), "{}", said(&own.stderr));
    assert!(said(&own.stdout).contains("with the same V"), "{}", said(&own.stdout));
    assert!(said(&own.stdout).contains("over 2 points: geometric mean 1.00"), "{}", said(&own.stdout));
    assert_eq!(points("own").len(), 2);
    for point in points("own") {
        assert!((point["ratio"]["value"].as_f64().unwrap() - 1.0).abs() < 1e-4, "{point}");
        assert!(point["variance"]["value"].as_f64().unwrap() > 0.0, "{point}");
    }
    // With a critic that hardly learns A2C is worse than with its own.
    let swinging = text("a2c").replace("CartPole-v1", "Pendulum-v1");
    file("own.toml", &swinging);
    file("poor.toml", &format!("{swinging}[learner]\nvalue_learning_rate = 1e-9\n"));
    let arguments =
        ["own.toml", "--batches", "20", "--points", "1", "--critic-of", "poor.toml", "--out", "other"];
    let other = run(&arguments);
    assert!(other.status.success(), "{}", said(&other.stderr));
    assert!(said(&other.stdout).contains("the other agent's V"));
    let ratio = points("other")[0]["ratio"]["value"].as_f64().unwrap();
    assert!(ratio < 0.5, "{ratio}");

    file("pole.toml", &text("a2c").replace("CartPole-v1", "Acrobot-v1"));
    file("ddpg.toml", &text("ddpg").replace("CartPole-v1", "Pendulum-v1"));
    // Pictures are kept as bytes for those who have an encoder.
    let picture = text("a2c").replace("CartPole-v1", "CatchImage-v0").replace("4096", "16");
    let picture = format!("{picture}[rollout]\nenvs = 1\nsteps = 16\n");
    file("picture.toml", &picture);
    file("flat.toml", &picture.replace("[run]", "encoder = \"mlp\"\n[run]"));
    let seen = run(&["picture.toml", "--batches", "3", "--points", "1"]);
    assert!(seen.status.success(), "{}", said(&seen.stderr));
    for (arguments, reason) in [
        (&["picture.toml", "--batches", "5", "--critic-of", "flat.toml"][..], "set agent.encoder alike"),
        (
            &["a2c.toml", "--batches", "5", "--critic-of", "pole.toml"],
            "give a configuration with the same [env]",
        ),
        (&["ddpg.toml", "--batches", "5"], "no estimator"),
        (&["a2c.toml", "--batches", "2"], "a whole number from 3"),
        (&["a2c.toml", "--batches", "5", "--states", "9"], "cannot be used with"),
        (&["a2c.toml", "--critic-of", "pole.toml"], "--batches"),
        (&["own", "--batches", "5"], "give own/config.toml instead"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(said(&output.stderr).contains(reason), "{arguments:?}: {}", said(&output.stderr));
    }
}
