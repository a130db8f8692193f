//! Agents and their keys, from outside: an agent of a program's own, several choices at once, what older runs recorded.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use relax_agents::register_agent;
use relax_envs::{ActionRef, Env, EnvError, EnvRng, EnvSpec, Space, Step};
use relax_rl::config::Config;
use relax_rl::evaluate::{EvalOptions, Trained, evaluate};
use relax_rl::train::{TrainOptions, train};

use super::common::{assert_same_run, config, options, place, relax, resumed, trained};

#[path = "../examples/custom_agent.rs"]
#[allow(unused)]
mod custom_agent;

/// The agent of the example, known to this process.
static MIXED: LazyLock<()> =
    LazyLock::new(|| register_agent(custom_agent::spec()).expect("the name is free"));

const MIXED_TEXT: &str = "[env]\nid = 'CartPole-v1'\n[agent]\nkind = 'mixed'\nmix = 0.7\nhidden = [8]\n\
                          [rollout]\nenvs = 2\nsteps = 16\n[run]\nenv_steps = 2048\nevaluation_episodes = 2\n\
                          [checkpoint]\nevery_env_steps = 500\n";

#[test]
fn an_agent_of_ones_own_resumes_bit_for_bit() {
    LazyLock::force(&MIXED);
    let config = config(MIXED_TEXT, &[]);
    let whole = trained(&config);
    // A run that was killed is its newest checkpoint and logs that may go on beyond it: here those of the whole run.
    let cut = place();
    let short = config.with_overrides(&["run.env_steps=1024".into()]).expect("valid");
    train(&short, &options(&cut.run)).expect("it trains");
    resumed(&cut.run, &["run.env_steps=2048"]);
    // The budget is the only difference: the shorter one's evaluation at its end comes on top.
    let weights = |run: &Path| super::common::tensors(&super::common::latest(run));
    let (a, b) = (weights(&whole.run), weights(&cut.run));
    for (name, bits) in a.iter().filter(|(name, _)| name.starts_with("agent.") || name.starts_with("actors."))
    {
        assert_eq!(Some(bits), b.get(name), "{name}");
    }
    let trained = Trained::load(&whole.run).expect("it loads");
    assert_eq!(trained.config.agent.kind, "mixed");
    let options = EvalOptions { episodes: 3, deterministic: true, render: None, seed: 1 };
    assert_eq!(evaluate(&whole.run, &options).expect("it plays").returns.len(), 3);
}

/// The example as a program, killed for good: `kill -9` between checkpoints, then resumed. The same bits as undisturbed.
#[test]
fn an_agent_of_ones_own_is_killed_and_resumed_bit_for_bit() {
    let program = Path::new(env!("CARGO_BIN_EXE_relax")).with_file_name("examples").join("custom_agent");
    if !program.exists() {
        // `cargo test --test main` alone builds no examples.
        println!("{} has not been built", program.display());
        return;
    }
    let place = place();
    let file = place.root.path().join("mixed.toml");
    std::fs::write(&file, MIXED_TEXT.replace("env_steps = 2048", "env_steps = 65536")).expect("write");
    let (whole, killed) = (place.root.path().join("whole"), place.root.path().join("killed"));
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command
    };
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let train = |out: &Path| run(&["train", &text(&file), "--out", &text(out), "-q"]);
    assert!(train(&whole).status().expect("it starts").success());
    let mut child = train(&killed).spawn().expect("it starts");
    let checkpoint = killed.join("checkpoints/latest.safetensors");
    while !checkpoint.exists() && child.try_wait().expect("a child").is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    std::thread::sleep(std::time::Duration::from_millis(30));
    let _ = child.kill();
    let _ = child.wait();
    assert!(run(&["resume", &text(&killed), "-q"]).status().expect("it starts").success());
    assert_same_run(&whole, &killed, "killed");
}

#[test]
fn an_agents_own_checks_are_the_command_lines() {
    LazyLock::force(&MIXED);
    let refused = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        Config::from_toml(MIXED_TEXT, "x.toml", &sets).expect_err("refused").to_string()
    };
    assert!(refused(&["agent.mix=2"]).starts_with("--set agent.mix=2: `agent.mix` is 2"));
    assert!(refused(&["learner.gamma=2"]).contains("from 0 to 1"));
    let other = refused(&["agent.gain=1"]);
    assert!(other.contains("relax-a2c") && other.contains("not of mixed"), "{other}");
}

/// Two switches and a dial: only one combination in each of two rooms pays.
struct Panel {
    room: usize,
    t: u32,
    spaces: [Space; 2],
}

impl Env for Panel {
    fn observation_space(&self) -> &Space {
        &self.spaces[0]
    }

    fn action_space(&self) -> &Space {
        &self.spaces[1]
    }

    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        (self.room, self.t) = (rng.integers(0, 2) as usize, 0);
        observation.copy_from_slice(&[self.room as f32, 1.0 - self.room as f32]);
        Ok(())
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        if !self.spaces[1].contains(action) {
            return Err(EnvError::invalid_action("Panel", &self.spaces[1], action.describe()));
        }
        let right = match action {
            ActionRef::MultiDiscrete(choices) => choices == [self.room, 2 - self.room],
            ActionRef::MultiBinary(flags) => flags == [self.room == 0, true, self.room == 1],
            _ => false,
        };
        let t = self.t + 1;
        self.reset(rng, observation)?;
        self.t = t;
        Ok(Step { reward: f64::from(u8::from(right)), terminated: t == 5, truncated: false })
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        state.extend([self.room as f64, f64::from(self.t)]);
        Ok(())
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let [room, t, rest @ ..] = state else { return Err(EnvError::invalid_state("Panel", "too short")) };
        (self.room, self.t) = (*room as usize, *t as u32);
        *state = rest;
        Ok(())
    }
}

static PANELS: LazyLock<()> = LazyLock::new(|| {
    for (id, actions) in [
        ("Panel-v0", Space::MultiDiscrete { nvec: vec![2, 3] }),
        ("PanelBits-v0", Space::MultiBinary { n: 3 }),
    ] {
        let spec = EnvSpec::new(id, "a panel of a test", move |_| {
            let spaces = [Space::uniform_box(0.0, 1.0, &[2]), actions.clone()];
            Ok(Box::new(Panel { room: 0, t: 0, spaces }))
        });
        relax_envs::register(spec).expect("the name is free");
    }
});

/// Several choices at once are learned, checkpointed, loaded, played and resumed; a blind policy makes 5/6 or 5/8.
#[test]
fn several_choices_at_once_are_learned() {
    LazyLock::force(&PANELS);
    for id in ["Panel-v0", "PanelBits-v0"] {
        for kind in ["a2c", "relax-a2c", "reinforce", "ppo"] {
            let text = format!(
                "[env]\nid = '{id}'\n[agent]\nkind = '{kind}'\nhidden = [16]\n[learner]\nlearning_rate = 1e-2\n\
                 [rollout]\nenvs = 8\nsteps = 16\n[run]\nenv_steps = 20000\nevaluation_episodes = 10\n"
            );
            let run = trained(&config(&text, &[]));
            let options = EvalOptions { episodes: 20, deterministic: true, render: None, seed: 3 };
            let returns = evaluate(&run.run, &options).expect("it plays").returns;
            let mean = returns.iter().sum::<f64>() / 20.0;
            println!("{id}, {kind}: {mean}");
            assert!(mean > 4.0, "{id}, {kind}: {mean}");
        }
    }
}

#[test]
fn several_choices_at_once_resume_bit_for_bit() {
    LazyLock::force(&PANELS);
    let text = "[env]\nid = 'Panel-v0'\n[agent]\nkind = 'relax-a2c'\nnoise = 'independent'\nhidden = [8]\n\
                [learner]\nanneal = false\n[rollout]\nenvs = 4\nsteps = 8\n[run]\nenv_steps = 640\nevaluation_episodes = 0\nkeep_best = false\n";
    let whole = trained(&config(text, &[]));
    let cut = place();
    let first = config(text, &["run.env_steps=320"]);
    train(&first, &TrainOptions { out: cut.run.clone(), quiet: true, stop: Default::default() })
        .expect("it trains");
    resumed(&cut.run, &["run.env_steps=640"]);
    assert_same_run(&whole.run, &cut.run, "factored");
}

/// A run of version 0.1.0, whose configuration holds the keys of all agents and whose checkpoint has no policy card.
#[test]
fn a_run_of_version_0_1_0_plays_and_resumes() {
    let place = place();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run-0.1.0");
    for folder in [&from, &from.join("checkpoints")] {
        let to = place.run.join(folder.strip_prefix(&from).expect("inside"));
        std::fs::create_dir_all(&to).expect("a folder");
        for entry in std::fs::read_dir(folder).expect("it is there").flatten() {
            if entry.path().is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
            }
        }
    }
    let options = EvalOptions { episodes: 2, deterministic: true, render: None, seed: 0 };
    assert_eq!(evaluate(&place.run, &options).expect("it plays").returns.len(), 2);
    let outcome = resumed(&place.run, &["run.env_steps=1024"]);
    assert_eq!(outcome.summary.env_steps, 1024);
    // The same as a run of this version from the start: the golden one is its first half.
    let config = Config::load_recorded(&place.run.join("config.toml")).expect("it reads");
    assert_eq!(config.agent.keys.get("baseline"), None, "the key of another agent");
    let whole = trained(&config.with_overrides(&["run.env_steps=1024".into()]).expect("valid"));
    let weights = |run: &Path| super::common::weights(run, "agent.policy.parameters");
    assert_eq!(weights(&whole.run), weights(&place.run));
}

#[test]
fn what_would_fail_later_is_refused_before_anything_runs() {
    let place = place();
    let file = place.root.path().join("x.toml");
    let refused = |command: &[&str], text: &str, parts: &[&str]| {
        std::fs::write(&file, text).expect("write");
        let output = relax().args(command).current_dir(place.root.path()).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    };
    let text =
        |kind: &str, more: &str| format!("[env]\nid = 'Pendulum-v1'\n[agent]\nkind = '{kind}'\n{more}");
    let one = text("reinforce", "baseline = 'leave-one-out'\n[rollout]\nenvs = 1\n");
    refused(&["train", "x.toml"], &one, &["leave-one-out", "rollout.envs"]);
    for kind in ["ddpg", "td3", "sac"] {
        refused(&["variance", "x.toml"], &text(kind, ""), &["no estimator", kind, "relax-ddpg have one"]);
    }
    let steps = text("reinforce", "[rollout]\nmode = 'steps'\n");
    refused(&["train", "x.toml"], &steps, &["whole episodes", "x.toml:6"]);
    refused(
        &["train", "x.toml"],
        &text("a2c", "gain = 1\n"),
        &["x.toml:5", "relax-a2c and relax-ddpg, not of a2c"],
    );
    refused(&["train", "x.toml", "--set", "agent.kind=a3c"], &text("a2c", ""), &["a3c", "`a2c`"]);
}

#[test]
fn another_agent_leaves_the_old_ones_keys_behind_and_says_so() {
    let place = place();
    let file = place.root.path().join("x.toml");
    let text = "[env]\nid = 'CartPole-v1'\n[agent]\nkind = 'relax-a2c'\ngain = 1\n[learner]\ngamma = 0.9\n\
                control_variate_epochs = 2\n[run]\nenv_steps = 64\nevaluation_episodes = 0\n";
    std::fs::write(&file, text).expect("write");
    let (config, notes) = Config::load_noting(&file, &["agent.kind=a2c".into()]).expect("valid");
    assert_eq!(config.learner["gamma"].as_float(), Some(0.9));
    assert_eq!(config.learner.get("control_variate_epochs"), None);
    assert_eq!(notes, ["a2c has no agent.gain and learner.control_variate_epochs: left out"]);
    let output = relax()
        .args(["train", "x.toml", "--set", "agent.kind=a2c", "-q"])
        .current_dir(place.root.path())
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("a2c has no agent.gain"), "{said}");
    // Reinforce brings its own kind of rollout.
    let (config, _) = Config::load_noting(&file, &["agent.kind=reinforce".into()]).expect("valid");
    assert!(config.rollout_shape().episodes);
}
