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
