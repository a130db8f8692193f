//! Killed for good at random moments, resumed, and in the end the run that nothing happened to, bit for bit: every agent that
//! the program has, and the auto-encoder. Five kills each as a test; `RELAX_KILLS=100` makes a hundred:
//!
//! ```text
//! RELAX_KILLS=100 cargo test --release --test main kills -- --nocapture
//! ```
//!
//! `RELAX_KILLS_OF=td3` kills that agent only, so that several can be killed side by side.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use relax_envs::EnvRng;

use crate::common::{assert_same_run, latest, place, relax};

/// Kills of each agent.
fn wanted() -> u32 {
    let text = std::env::var("RELAX_KILLS").unwrap_or_else(|_| "5".into());
    text.parse().unwrap_or_else(|_| panic!("RELAX_KILLS={text}: a number of kills"))
}

/// Starts the program, silent but for its errors.
fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a kind of run is: how it is started with a folder, and how two of its folders are compared.
struct Kind<'a> {
    name: String,
    start: &'a dyn Fn(&Path) -> Command,
    same: &'a dyn Fn(&Path, &Path, &str),
}

impl Kind<'_> {
    /// Trains without a disturbance; the seconds it took.
    fn undisturbed(&self, run: &Path) -> Duration {
        let begun = Instant::now();
        let output = (self.start)(run).output().unwrap();
        assert!(output.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&output.stderr));
        begun.elapsed()
    }

    /// Runs until `wanted` kills have hit, each run resumed until its end and compared with `whole`, which took `span`.
    fn killed(&self, whole: &Path, span: Duration, wanted: u32, mut rng: EnvRng) {
        let (mut hits, mut runs, mut early) = (0, 0, 0);
        while hits < wanted {
            let place = place();
            let mut child = spawn(&mut (self.start)(&place.run));
            runs += 1;
            for attempt in 0.. {
                // Every run may end at last.
                if hits < wanted && attempt < 20 {
                    let most = (span.as_micros() as i64 / 2).max(1);
                    std::thread::sleep(Duration::from_micros(rng.integers(0, most) as u64));
                    // It may be over by now.
                    let _ = child.kill();
                }
                let output = child.wait_with_output().unwrap();
                match output.status.code() {
                    Some(0) => break,
                    None => hits += 1,
                    code => panic!("{}: {code:?}, {}", self.name, String::from_utf8_lossy(&output.stderr)),
                }
                child = if latest(&place.run).exists() {
                    spawn(relax().arg("resume").arg(&place.run).arg("--quiet"))
                } else {
                    // Killed before its first checkpoint: there is nothing to go on from, and that is said.
                    early += 1;
                    let refused = relax().arg("resume").arg(&place.run).output().unwrap();
                    let error = String::from_utf8_lossy(&refused.stderr);
                    assert_eq!(refused.status.code(), Some(2), "{}: {error}", self.name);
                    assert!(
                        error.contains("hint: ") && !error.contains("panicked"),
                        "{}: {error}",
                        self.name
                    );
                    let _ = std::fs::remove_dir_all(&place.run);
                    spawn(&mut (self.start)(&place.run))
                };
            }
            (self.same)(whole, &place.run, &format!("{}: run {runs}, {hits} kills so far", self.name));
        }
        println!(
            "{}: {hits} kills in {runs} runs of {:.2} s, {early} of them before the first checkpoint; all the same to the bit",
            self.name,
            span.as_secs_f64()
        );
    }
}

/// The agents that the program lists.
fn agents() -> Vec<String> {
    let output = relax().arg("agents").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let names: Vec<String> =
        text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    assert!(names.len() >= 6, "{text}");
    names
}

#[test]
fn every_agent_killed_at_random_moments() {
    let place = place();
    let only = std::env::var("RELAX_KILLS_OF").ok();
    assert!(only.iter().all(|only| agents().contains(only)), "RELAX_KILLS_OF={only:?}: an agent");
    for (index, agent) in agents().into_iter().enumerate() {
        if only.as_ref().is_some_and(|only| *only != agent) {
            continue;
        }
        let file = place.root.path().join(format!("{agent}.toml"));
        let write = |env: &str, steps: u64| {
            let (between, often) = (steps / 3, steps / 40);
            let text = format!(
                "[env]\nid = \"{env}\"\n[agent]\nkind = \"{agent}\"\nhidden = [8]\n[run]\nenv_steps = {steps}\nseed = 5\n\
                 evaluation_episodes = 2\nevaluation_every_env_steps = {between}\n[checkpoint]\nevery_env_steps = {often}\n"
            );
            std::fs::write(&file, text).unwrap();
            relax().args(["config", "show"]).arg(&file).output().unwrap().status.success()
        };
        let start = |run: &Path| {
            let mut command = relax();
            command.arg("train").arg(&file).arg("--out").arg(run).arg("--quiet");
            command
        };
        let kind = Kind { name: agent.clone(), start: &start, same: &assert_same_run };

        // An environment that the agent can act in, and steps that take long enough to be killed in.
        let (mut steps, mut env) = (4_000, "CartPole-v1");
        write(env, steps);
        let whole = place.root.path().join(&agent);
        if !start(&whole).output().unwrap().status.success() {
            env = "Pendulum-v1";
        }
        let span = loop {
            let _ = std::fs::remove_dir_all(&whole);
            assert!(write(env, steps), "{agent}: the configuration is refused");
            let span = kind.undisturbed(&whole);
            if span > Duration::from_millis(300) || steps > 500_000 {
                break span;
            }
            steps *= 3;
        };
        kind.killed(&whole, span, wanted(), EnvRng::from_seed(index as u64));
    }
}

#[test]
fn the_auto_encoder_killed_at_random_moments() {
    let (place, file) = crate::vae::prepared();
    let data = crate::vae::data();
    let start = |run: &Path| {
        let mut command = relax();
        command.arg("vae").arg(&file).arg("--out").arg(run).args(["--data", &data, "--quiet"]);
        command
    };
    let kind = Kind { name: "vae".into(), start: &start, same: &crate::vae::assert_same };
    let whole = place.root.path().join("whole");
    let span = kind.undisturbed(&whole);
    kind.killed(&whole, span, wanted(), EnvRng::from_seed(99));
}
