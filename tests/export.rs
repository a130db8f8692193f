//! Exported policies: the file says what the program does, for every kind of policy; and what cannot be exported is refused.

mod graph;
mod reader;

use std::path::Path;

use relax_envs::{ActionRef, Actions, EnvRng, Space, Step};
use relax_rl::agents::{ActingScratch, ActionRange};
use relax_rl::evaluate::Trained;
use relax_rl::export::{Checkpoint, Format, Plan, export};
use relax_rl::train;

use crate::common::{Place, TestState, config, relax, test_env, trained};

const RUN: &str = "
[agent]
hidden = [16, 12]
[rollout]
envs = 2
[run]
evaluation_episodes = 2
seed = 1000
";

/// Every kind of policy: name, environment, agent and other settings.
const KINDS: &[(&str, &str, &[&str])] = &[
    ("categorical, normalised", "CartPole-v1", &["agent.kind=a2c", "run.env_steps=4000"]),
    (
        "categorical, as it is",
        "Acrobot-v1",
        &["agent.kind=relax-a2c", "run.env_steps=4000", "learner.normalize_observations=false"],
    ),
    ("elu", "CartPole-v1", &["agent.kind=reinforce", "run.env_steps=4000", "agent.activation=elu"]),
    ("one layer", "CartPole-v1", &["agent.kind=ppo", "run.env_steps=4096", "agent.hidden=[]"]),
    ("gaussian", "Pendulum-v1", &["agent.kind=a2c", "run.env_steps=4000"]),
    (
        "gaussian, σ of the state",
        "Pendulum-v1",
        &["agent.kind=ppo", "run.env_steps=4096", "agent.state_dependent_std=true"],
    ),
    ("squashed", "Pendulum-v1", &["agent.kind=sac", "run.env_steps=1500", "agent.activation=relu"]),
    ("deterministic", "Pendulum-v1", &["agent.kind=ddpg", "run.env_steps=1500"]),
    ("masked", "TicTacToe-v0", &["agent.kind=a2c", "run.env_steps=4000"]),
    ("several choices", "ExportSeveral-v0", &["agent.kind=a2c", "run.env_steps=1000"]),
    ("yes or no", "ExportFlags-v0", &["agent.kind=a2c", "run.env_steps=1000"]),
    ("counted from 5", "ExportFromFive-v0", &["agent.kind=a2c", "run.env_steps=1000"]),
    ("a table of numbers", "ExportTable-v0", &["agent.kind=a2c", "run.env_steps=1000"]),
    ("small-cnn", "Catch-v0", &["agent.kind=a2c", "run.env_steps=500", "agent.encoder=small-cnn"]),
    ("nature-cnn", "CatchImage-v0", &["agent.kind=a2c", "run.env_steps=64", "rollout.steps=8"]),
];

fn steps(state: &mut TestState, _: ActionRef<'_>, rng: &mut EnvRng) -> Result<Step, relax_envs::EnvError> {
    state.observation.iter_mut().for_each(|x| *x = rng.standard_normal() as f32);
    Ok(Step { reward: f64::from(state.observation[0]), terminated: state.t > 6, truncated: false })
}

/// Registers the environments whose actions no world has, once.
fn register() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let table = Space::Box {
            low: vec![-1.0, -1.0, 0.0, f32::NEG_INFINITY],
            high: vec![1.0; 4],
            shape: vec![2, 2],
        };
        let all = [
            ("ExportSeveral-v0", Space::MultiDiscrete { nvec: vec![3, 2, 4] }),
            ("ExportFlags-v0", Space::MultiBinary { n: 3 }),
            ("ExportFromFive-v0", Space::Discrete { n: 3, start: 5 }),
            ("ExportTable-v0", table),
        ];
        for (id, space) in all {
            relax_envs::register(test_env(id, 3, space, |_, _| (), steps)).expect("the name is free");
        }
    });
}

fn run(env: &str, sets: &[&str]) -> Place {
    register();
    let id = format!("env.id={env}");
    trained(&config(RUN, &[&[id.as_str()], sets].concat()))
}

/// Observations `[rows, D]` as different from one another as the policy may meet, and masks where there are any.
fn inputs(plan: &Plan, rows: usize) -> (Vec<f32>, Option<Vec<bool>>) {
    let mut rng = EnvRng::from_seed(1);
    let bytes = plan.about.env == "CatchImage-v0";
    let numbers = rows * plan.observation.iter().product::<usize>();
    let draw = |rng: &mut EnvRng| {
        if bytes { rng.integers(0, 256) as f32 } else { 2.0 * rng.standard_normal() as f32 }
    };
    let observations = (0..numbers).map(|_| draw(&mut rng)).collect();
    let masks = plan.action_mask.map(|len| {
        let mut masks: Vec<bool> = (0..rows * len).map(|_| rng.integers(0, 2) == 0).collect();
        masks.chunks_exact_mut(len).for_each(|mask| mask[rng.integers(0, len as i64) as usize] = true);
        masks
    });
    (observations, masks)
}

/// What the program itself does, row by row.
fn acted(trained: &Trained, observations: &[f32], masks: Option<&[bool]>) -> Vec<Vec<f64>> {
    let dim = trained.policy.observation_dim();
    let rows = observations.len() / dim;
    let mut scratch = ActingScratch::default();
    let mut actions = trained.policy.distribution().action_buffer();
    let mut range = ActionRange::new(&trained.action_space);
    actions.resize(rows);
    trained.policy.act_greedily_masked(observations, masks, &mut scratch, &mut actions, 0..rows);
    let start = if let Space::Discrete { start, .. } = trained.action_space { start as f64 } else { 0.0 };
    let values: Vec<f64> = match trained.policy.execute(&actions, 0..rows, &mut range) {
        Actions::Discrete(all) => all.iter().map(|&index| f64::from(index) + start).collect(),
        Actions::MultiDiscrete { values, .. } => values.iter().map(|&index| index as f64).collect(),
        Actions::MultiBinary { values, .. } => values.iter().map(|&flag| f64::from(u8::from(flag))).collect(),
        Actions::Box { values, .. } => values.iter().map(|&x| f64::from(x)).collect(),
    };
    values.chunks_exact(values.len() / rows).map(<[f64]>::to_vec).collect()
}

/// Largest difference of actions; of choices, the share of rows that differ where the two best logits are not next to equal.
fn difference(plan: &Plan, read: &reader::Read, acted: &[Vec<f64>]) -> f64 {
    let mut largest = 0.0f64;
    for (row, (found, wanted)) in read.actions.iter().zip(acted).enumerate() {
        assert_eq!(found.len(), wanted.len());
        if !plan.action.integer || !read.is_close_call(plan, row) {
            largest = found.iter().zip(wanted).fold(largest, |most, (a, b)| most.max((a - b).abs()));
        }
    }
    largest
}

#[test]
fn every_kind_of_policy_is_in_the_file_as_the_program_has_it() {
    for (name, env, sets) in KINDS {
        let place = run(env, sets);
        for checkpoint in [Checkpoint::Best, Checkpoint::Latest] {
            let of = |format: Format| {
                let path = place.root.path().join(format!("policy.{}", format.name()));
                let plan = export(&place.run, checkpoint, format, &path)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                (plan, std::fs::read(path).unwrap())
            };
            let (plan, json) = of(Format::Json);
            assert_eq!(serde_json::from_slice::<Plan>(&json).unwrap(), plan, "{name}");
            assert_eq!(plan.about.state_hash, train::checkpoint_hash(&checkpoint.path(&place.run)).unwrap());

            // The list of steps, read by a reader that knows nothing of the program, is the program's policy.
            let trained = Trained::load_checkpoint(&checkpoint.path(&place.run)).unwrap();
            let rows = if *name == "nature-cnn" { 20 } else { 1000 };
            let (observations, masks) = inputs(&plan, rows);
            let wanted = acted(&trained, &observations, masks.as_deref());
            let read = reader::read(&plan, &observations, masks.as_deref());
            let beside: &[&str] = match plan.action.distribution.as_str() {
                "categorical" | "factored" => &["logits"],
                "deterministic" => &[],
                _ => &["log_std", "mean"],
            };
            assert_eq!(read.results.keys().collect::<Vec<_>>(), beside, "{name}");
            assert!(read.results.values().flatten().flatten().all(|x| x.is_finite()), "{name}");
            let found = difference(&plan, &read, &wanted);
            println!(
                "{name}: {found:.1e}, {} close calls",
                (0..rows).filter(|&row| read.is_close_call(&plan, row)).count()
            );
            assert!(found < 1e-5, "{name}: actions differ by {found}");
            // One weight that is off is found out: of choices, that of what is chosen first.
            let mut wrong = plan.clone();
            let last = if *name == "one layer" { "0.bias" } else { "2.bias" };
            let bias = &mut wrong.tensors.get_mut(last).unwrap().data;
            match plan.action.integer {
                true => bias[wanted[0][0] as usize - if *name == "counted from 5" { 5 } else { 0 }] -= 100.0,
                false => bias[0] += 0.01 + bias[0].abs(),
            }
            let read = reader::read(&wrong, &observations, masks.as_deref());
            assert!(difference(&plan, &read, &wanted) > 1e-4, "{name}: a wrong weight is not found out");

            // The other formats hold the same.
            let (_, bytes) = of(Format::Safetensors);
            let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
            let described = header.metadata().as_ref().unwrap()["policy"].clone();
            let described: Plan = serde_json::from_str(&described).unwrap();
            assert_eq!((&described.steps, &described.about), (&plan.steps, &plan.about), "{name}");
            let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            assert_eq!(tensors.len(), plan.tensors.len());
            for (tensor, wanted) in &plan.tensors {
                let found = tensors.tensor(tensor).unwrap();
                assert_eq!(
                    (found.shape(), found.data()),
                    (&wanted.shape[..], &wanted.bytes()[..]),
                    "{name}: {tensor}"
                );
            }
            graph::check(&of(Format::Onnx).1, &plan).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        }
    }
}

#[test]
fn a_graph_that_is_wrong_is_found_out() {
    let place = run("CartPole-v1", &["agent.kind=a2c", "run.env_steps=200"]);
    let plan = Plan::load(&Checkpoint::Latest.path(&place.run)).unwrap();
    let bytes = plan.write(Format::Onnx).unwrap();
    assert_eq!(graph::check(&bytes, &plan), Ok(()));
    assert!(graph::check(&bytes[..bytes.len() - 1], &plan).is_err(), "cut short");
    let mut other = plan.clone();
    other.tensors.get_mut("0.bias").unwrap().shape = vec![2, 8];
    assert!(graph::check(&other.write(Format::Onnx).unwrap(), &plan).is_err(), "another shape");
    other.tensors.remove("0.bias");
    assert!(graph::check(&other.write(Format::Onnx).unwrap(), &plan).is_err(), "a missing array");
}

fn refused(arguments: &[&str], wanted: &[&str]) {
    let out = relax().arg("export").args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{arguments:?}: {text}");
    assert!(wanted.iter().all(|words| text.contains(words)), "{arguments:?}: {text}");
}

#[test]
fn the_program_exports_and_refuses() {
    let place = run("CartPole-v1", &["agent.kind=a2c", "run.env_steps=200"]);
    let dir = place.run.display().to_string();
    let out = relax().args(["export", &dir, "--format", "onnx"]).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success() && place.run.join("policy.onnx").is_file(), "{text}");
    assert!(text.contains("opset 17") && text.contains(&train::state_hash(&place.run).unwrap()), "{text}");
    let file = place.root.path().join("p.json");
    assert!(relax().args(["export", &dir, "--out", &file.display().to_string()]).status().unwrap().success());
    assert!(file.is_file());

    refused(&[&dir], &["--format"]);
    refused(&[&dir, "--format", "pickle"], &["pickle", "onnx"]);
    refused(&[&dir, "--out", "policy.pt"], &["policy.pt", ".onnx", "hint"]);
    refused(&["nowhere", "--format", "onnx"], &["nowhere", "does not exist"]);

    // What no file can describe.
    let error = |place: &Place| {
        export(&place.run, Checkpoint::Latest, Format::Json, Path::new("unused")).unwrap_err()
    };
    crate::encoders::register();
    let own = trained(&config(
        "[env]\nid = 'Catch-v0'\n[agent]\nkind = 'a2c'\nencoder = 'tiny'\n[run]\nenv_steps = 64\n",
        &[],
    ));
    let refusal = error(&own);
    assert!(refusal.to_string().contains("\"tiny\"") && refusal.exit_code() == 2, "{refusal}");
    let path = train::latest_checkpoint(&place.run);
    let (header, mut state) = relax_rl::checkpoint::load(&path).unwrap();
    let mut weights = state.f32_any("agent.policy.parameters").unwrap().to_vec();
    weights[3] = f32::NAN;
    state.insert_f32("agent.policy.parameters", &weights);
    relax_rl::checkpoint::save(&path, &header, &state).unwrap();
    let refusal = error(&place);
    assert!(refusal.to_string().contains("not finite") && refusal.exit_code() == 2, "{refusal}");
    assert!(!Path::new("unused").exists());
}
