//! What is compared with what, on which scale, and that a seed counts once.

use super::*;
use crate::compare::runs::{EpisodeRow, Evaluated};

fn run(env: &str, name: &str, seed: u64, evaluation: Option<(f64, Rule)>) -> RunData {
    RunData {
        label: name.into(),
        env: env.into(),
        agent: name.into(),
        seed,
        episodes: vec![EpisodeRow { env_steps: 10.0, total: 100.0, seconds: 1.0 }],
        evaluation: evaluation.map(|(mean, rule)| Evaluated { mean, rule }),
        env_steps: 10.0,
        budget: 10.0,
        steps_per_second: 10.0,
        squared_norms: Vec::new(),
        config: None,
    }
}

fn runs(env: &str, name: &str, evaluations: &[Option<(f64, Rule)>]) -> Vec<RunData> {
    evaluations.iter().zip(0..).map(|(evaluation, seed)| run(env, name, seed, *evaluation)).collect()
}

fn pairs(analysis: &Analysis, env: &str) -> Vec<String> {
    analysis.comparable(env).iter().map(|[x, y]| format!("{} > {}", x.name, y.name)).collect()
}

#[test]
fn only_like_is_compared_with_like() {
    let env = "CartPole-v1";
    let greedy = [490.0, 495.0, 500.0].map(|mean| Some((mean, Rule::Greedy)));
    let sampled = [400.0, 410.0, 420.0].map(|mean| Some((mean, Rule::Sampled)));
    let unstated = [480.0, 481.0, 482.0].map(|mean| Some((mean, Rule::Unstated)));
    let all = [
        runs(env, "ours", &greedy),
        runs(env, "theirs", &[None; 3]),
        runs(env, "sampled", &sampled),
        runs(env, "unstated", &unstated),
        runs(env, "mixed", &[greedy[0], sampled[0], greedy[1]]),
        runs(env, "few", &greedy[..2]),
        runs(env, "partly", &[greedy[0], greedy[1], greedy[2], None]),
    ];
    let analysis = Analysis::new(all.concat(), &Suite::default()).expect("runs");
    assert_eq!(pairs(&analysis, env), ["ours > partly"]);
    let entry = |name: &str| analysis.of(env).find(|entry| entry.name == name).expect("an entry");
    // The training mean of 100 is no evaluation, and stands by itself.
    assert_eq!((entry("theirs").evaluation, entry("theirs").training.point), (None, 100.0));
    assert_eq!(entry("ours").evaluation.map(|found| found.iqm.point), Some(495.0));
    assert_eq!((entry("mixed").rule, entry("partly").scores.len()), (Rule::Unstated, 3));
    for name in ["theirs", "sampled", "unstated", "mixed", "few", "partly"] {
        assert!(
            analysis.remarks.iter().any(|remark| remark.starts_with(name)),
            "{name}: {:?}",
            analysis.remarks
        );
    }
    assert!(analysis.groups.is_empty(), "one environment is not several");
}

#[test]
fn scaled_returns_do_not_depend_on_who_is_compared() {
    let score = |mean: f64| vec![Some((mean, Rule::Greedy)); 3];
    let all = |worst: f64| {
        [
            runs("CartPole-v1", "a", &score(492.5)),
            runs("CartPole-v1", "b", &score(500.0)),
            runs("Acrobot-v1", "a", &score(worst)),
            runs("Acrobot-v1", "b", &score(-80.0)),
            runs("Own-v0", "a", &score(1.0)),
            runs("Own-v0", "b", &score(2.0)),
        ]
        .concat()
    };
    let group = |runs, suite: &Suite| {
        let analysis = Analysis::new(runs, suite).expect("runs");
        assert_eq!(analysis.groups.len(), 1);
        (analysis.groups[0].clone(), analysis.remarks)
    };
    let (found, remarks) = group(all(-90.0), &Suite::default());
    let spec = relax_envs::spec("CartPole-v1").expect("registered");
    let random = spec.random_return.expect("registered");
    let expected = (492.5 - random) / (475.0 - random);
    assert!((found.scores[0][0][0] - expected).abs() < 1e-12 && expected > 1.0);
    assert_eq!(found.scores[0][0], group(all(-500.0), &Suite::default()).0.scores[0][0]);
    assert_eq!(
        found.references.iter().map(|r| r.env.as_str()).collect::<Vec<_>>(),
        ["CartPole-v1", "Acrobot-v1"]
    );
    assert!(remarks.iter().any(|remark| remark.starts_with("Own-v0") && remark.contains("[scale]")));

    let suite = Suite { scale: [("Own-v0".to_owned(), [0.0, 4.0])].into(), ..Suite::default() };
    let (found, remarks) = group(all(-90.0), &suite);
    assert_eq!((found.scores[1][2][0], remarks), (0.5, Vec::<String>::new()));
}

#[test]
fn a_seed_counts_once() {
    let twice = [runs("X-v0", "a", &[None]), runs("X-v0", "a", &[None])].concat();
    let error = Analysis::new(twice, &Suite::default()).expect_err("twice");
    assert!(error.to_string().contains("seed 0") && error.exit_code() == 2);
}
