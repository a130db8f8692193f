//! The program as a user meets it: what it prints, where, and with which exit code.

use std::path::Path;
use std::process::{Command, Output};

const CONFIG: &str = "[env]\nid = \"CartPole-v1\"\n\n[agent]\nkind = \"a2c\"\n";

/// Runs `relax` in the folder `at`.
fn relax(at: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_relax"))
        .args(arguments)
        .current_dir(at)
        .env_remove("NO_COLOR")
        .env("COLUMNS", "1000")
        .output()
        .expect("the program starts")
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("good.toml"), CONFIG).expect("write");
    folder
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The arguments are refused with exit code 2, and standard error holds every one of `parts`.
#[track_caller]
fn refused(at: &Path, arguments: &[&str], parts: &[&str]) {
    let output = relax(at, arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    assert!(error.starts_with("error: "), "{arguments:?}: {error}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
    for rust in ["struct ", "enum ", "variant, expected", "usize", "f64", "panicked"] {
        assert!(!error.contains(rust), "{arguments:?} speaks of Rust's types: {error}");
    }
    for part in parts {
        assert!(error.contains(part), "{arguments:?} should say {part:?}, but says: {error}");
    }
}

/// The arguments are taken; returns standard output.
#[track_caller]
fn accepted(at: &Path, arguments: &[&str]) -> String {
    let output = relax(at, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn bad_settings_say_what_is_wrong_where_and_what_is_right() {
    let folder = folder();
    for (set, parts) in [
        ("learner.gamma=1.5", &["--set learner.gamma=1.5", "`learner.gamma` is 1.5", "from 0 to 1"][..]),
        ("learner.gama=0.9", &["unknown key `learner.gama`", "did you mean `learner.gamma`?"]),
        ("agent.gamma=0.9", &["unknown key", "`learner.gamma`"]),
        ("learner.gamma=high", &["`learner.gamma`", "expected a number", "Discount factor"]),
        ("learner.gamma", &["no `=`", "--set KEY=VALUE"]),
        ("learner=1", &["`learner` is a section"]),
        ("learner.learning_rate=0", &["above 0"]),
        ("rollout.envs=0", &["`rollout.envs` is 0", "from 1"]),
        ("rollout.workers=9", &["`rollout.workers` is 9", "rollout.envs"]),
        ("rollout.envs=-1", &["`rollout.envs`", "a whole number"]),
        ("agent.kind=a3c", &["`agent.kind`", "`relax-a2c`"]),
        ("agent.hidden=[0]", &["`agent.hidden` is [0]", "1 to 65536"]),
        ("agent.hidden=64", &["`agent.hidden`", "Widths"]),
        ("run.env_steps=0", &["`run.env_steps` is 0"]),
        ("run.seed=99999999999999999999", &["run.seed"]),
        ("env.id=CartPol-v1", &["CartPol-v1", "did you mean `CartPole-v1`?", "relax envs list"]),
        ("env.wrappers=[{name = \"Framestack\"}]", &["`FrameStack`"]),
    ] {
        refused(folder.path(), &["train", "good.toml", "--quiet", "--set", set], parts);
    }
    assert!(!folder.path().join("runs").exists(), "nothing is written for a run that cannot start");
}

#[test]
fn bad_files_are_named_with_their_line() {
    let folder = folder();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("write");
    write("key.toml", &format!("{CONFIG}\n[learner]\n# the rate\nlearning_rat = 1e-3\n"));
    write("range.toml", &format!("{CONFIG}\n[learner]\nlambda = 2\n"));
    write("type.toml", &format!("{CONFIG}hidden = [64, \"x\"]\n"));
    write("number.toml", "env = 3\n");
    write("numbers.toml", &format!("{CONFIG}\n[env.kwargs]\n[[env.wrappers]]\nname = 3\n"));
    write("wrappers.toml", "[env]\nid = \"CartPole-v1\"\nwrappers = [3]\n[agent]\nkind = \"a2c\"\n");
    write("choice.toml", &format!("{CONFIG}activation = []\n"));
    write("syntax.toml", "[env\nid = 3\n");
    write("empty.toml", "");
    write("no_kind.toml", "[env]\nid = \"CartPole-v1\"\n[agent]\n");
    write("twice.toml", &format!("{CONFIG}kind = \"a2c\"\n"));
    for (file, parts) in [
        ("key.toml", &["key.toml:9: unknown key `learner.learning_rat`", "`learner.learning_rate`"][..]),
        ("range.toml", &["range.toml:8: `learner.lambda` is 2.0", "from 0 to 1"]),
        ("type.toml", &["type.toml:6: `agent.hidden`", "Widths"]),
        ("number.toml", &["number.toml:1: `env`", "expected a table"]),
        ("numbers.toml", &["`env.wrappers"]),
        ("wrappers.toml", &["wrappers.toml:3: `env.wrappers`", "expected a table"]),
        ("choice.toml", &["choice.toml:6: `agent.activation`", "expected a string", "\"tanh\""]),
        ("syntax.toml", &["syntax.toml:1: not valid TOML"]),
        ("empty.toml", &["empty.toml: `env` is missing", "id = "]),
        ("no_kind.toml", &["no_kind.toml:3: `agent.kind` is missing", "relax-a2c"]),
        ("twice.toml", &["twice.toml:6", "duplicate key"]),
        ("god.toml", &["god.toml: cannot read", "did you mean", "good.toml"]),
        (".", &["is a folder"]),
    ] {
        for command in ["train", "config"] {
            let arguments: &[&str] =
                if command == "train" { &["train", file, "--quiet"] } else { &["config", "show", file] };
            refused(folder.path(), arguments, parts);
        }
    }
}

#[test]
fn an_existing_run_folder_is_refused_and_left_as_it_is() {
    let folder = folder();
    let run = folder.path().join("run");
    std::fs::create_dir(&run).expect("folder");
    std::fs::write(run.join("config.toml"), CONFIG).expect("write");
    let arguments = ["train", "good.toml", "--out", "run"];
    refused(folder.path(), &arguments, &["run is not empty", "before its first checkpoint"]);
    std::fs::create_dir(run.join("checkpoints")).expect("folder");
    std::fs::write(run.join("checkpoints/latest.safetensors"), "x").expect("write");
    refused(folder.path(), &arguments, &["run is not empty", "relax resume run"]);
    assert_eq!(std::fs::read_dir(&run).expect("list").count(), 2);
    refused(folder.path(), &["train", "good.toml", "--out", "good.toml"], &["is a file"]);
}

/// What could not be written after the work is refused before it.
#[test]
fn places_that_cannot_be_written_are_refused_first() {
    let folder = folder();
    accepted(folder.path(), &["train", "good.toml", "--set", "run.env_steps=600", "--out", "run", "--quiet"]);
    std::fs::create_dir(folder.path().join("x.gif")).expect("folder");
    refused(folder.path(), &["eval", "run", "--render", "no/y.gif"], &["--render no/y.gif", "no folder no"]);
    refused(folder.path(), &["eval", "run", "--render", "x.gif"], &["x.gif: is a folder"]);
    refused(folder.path(), &["plot", "run", "--out", "no/y.svg"], &["no folder no"]);
    refused(folder.path(), &["certify", "--json", "no/y.json"], &["no folder no"]);
    refused(folder.path(), &["variance", "good.toml", "--out", "good.toml/x"], &["good.toml is a file"]);
}

#[test]
fn what_is_no_run_folder_is_refused() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("empty")).expect("folder");
    for command in ["resume", "eval"] {
        refused(folder.path(), &[command, "none"], &["none does not exist", "relax train"]);
        refused(folder.path(), &[command, "empty"], &["not a run folder"]);
        refused(folder.path(), &[command, "good.toml"], &["is a file", "relax train good.toml"]);
    }
    refused(folder.path(), &["plot", "empty", "--out", "x.svg"], &["empty is not a run folder"]);
    refused(folder.path(), &["plot", "empty", "--out", "x.pdf"], &["SVG or PNG", "x.svg"]);
}

#[test]
fn a_resumed_run_keeps_its_experiment() {
    let folder = folder();
    std::fs::rename(folder.path().join("good.toml"), folder.path().join("config.toml")).expect("rename");
    for set in ["learner.gamma=0.9", "run.seed=3", "env.id=Acrobot-v1"] {
        refused(folder.path(), &["resume", ".", "--set", set], &["cannot change", "run.*"]);
    }
}

#[test]
fn wrong_arguments_show_the_usage() {
    let folder = folder();
    for arguments in [
        &["trian"][..],
        &["train"],
        &["train", "good.toml", "--sede", "1"],
        &["train", "good.toml", "--seed", "-1"],
        &["train", "good.toml", "--seed", "9223372036854775808"],
        &["eval", ".", "--episodes", "0"],
        &["plot", "--out", "x.svg"],
        &["completions", "tcsh"],
        &[],
    ] {
        let output = relax(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            text(&output.stderr).contains("--help") || text(&output.stderr).contains("Usage"),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_wrong_number_is_told_the_range() {
    let folder = folder();
    for (arguments, range) in [
        (["train", "good.toml", "--workers"], "a whole number from 0 to 4294967295"),
        (["train", "good.toml", "--seed"], "a seed is a whole number from 0 to 9223372036854775807"),
        (["train", "good.toml", "--steps"], "a whole number, 0 or more"),
        (["eval", "run", "--episodes"], "a whole number from 1 to 4294967295"),
        (["resume", "run", "--workers"], "a whole number from 0 to 4294967295"),
        (["compare", "good.toml", "--seeds"], "a whole number from 1 to 100000"),
        (["compare", "good.toml", "--budget"], "a whole number from 1 to 1152921504606846976"),
        (["compare", "good.toml", "--jobs"], "a whole number from 1 to 4096"),
        (["sweep", "good.toml", "--trials"], "a whole number from 1 to 1152921504606846976"),
        (["variance", "run", "--states"], "a whole number from 3 to 1000000"),
        (["vae", "good.toml", "--threads"], "a whole number from 1 to 256"),
        (["certify", "all", "--jobs"], "a whole number from 1 to 4096"),
    ] {
        for wrong in ["-3", "many", "1.5", "99999999999999999999"] {
            let mut given = arguments.to_vec();
            given.push(wrong);
            refused(folder.path(), &given, &[range]);
        }
    }
}

#[test]
fn what_was_meant_is_named() {
    let folder = folder();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("write");
    write("vae.toml", "[model]\nkind = \"linear1\"\n[estimator]\nmethod = \"rebar\"\n");
    refused(folder.path(), &["train", "vae.toml"], &["an auto-encoder", "relax vae vae.toml"]);
    refused(folder.path(), &["vae", "good.toml"], &["describes an agent", "relax train good.toml"]);
    std::fs::create_dir(folder.path().join("run")).expect("folder");
    std::fs::copy(folder.path().join("vae.toml"), folder.path().join("run/config.toml")).expect("copy");
    refused(folder.path(), &["eval", "run"], &["a run of `relax vae`", "relax plot run"]);
    let pong = ["train", "good.toml", "--quiet", "--set", "env.id=ALE/Pong-v5"];
    refused(folder.path(), &pong, &["ALE/Pong-v5", "gym:ALE/Pong-v5"]);
    refused(folder.path(), &["envs", "show", "ALE/Pong-v5"], &["gym:ALE/Pong-v5"]);
    for command in [&["train", "good.toml"][..], &["eval", "."], &["vae", "vae.toml"]] {
        let output = relax(folder.path(), &[command, &["--seed", "-1"]].concat());
        let error = text(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains("a whole number from 0 to"), "{error}");
    }
    let both = relax(folder.path(), &["eval", ".", "--stochastic", "--deterministic"]);
    assert_eq!(both.status.code(), Some(2));
}

/// As training's own evaluation: the most probable action, unless drawn ones are asked for.
#[test]
fn evaluation_is_greedy_unless_asked_otherwise() {
    let folder = folder();
    let sets = ["run.env_steps=600", "run.evaluation_episodes=3"];
    let arguments = ["train", "good.toml", "--quiet", "--out", "run", "--set", sets[0], "--set", sets[1]];
    accepted(folder.path(), &arguments);
    let greedy = accepted(folder.path(), &["eval", "run"]);
    assert_eq!(greedy, accepted(folder.path(), &["eval", "run", "--deterministic"]));
    assert_ne!(greedy, accepted(folder.path(), &["eval", "run", "--stochastic"]));
}

#[test]
fn a_run_greets_with_what_was_chosen() {
    let folder = folder();
    let arguments = ["train", "good.toml", "--seed", "4", "--out", "run", "--set", "run.env_steps=600"];
    let output = relax(folder.path(), &arguments);
    let said = text(&output.stderr);
    for part in ["a2c on CartPole-v1, as good.toml says", "seed 4", "run.env_steps=600", "run folder run"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("variance ratio"), "A2C has none: {said}");
    let entries = std::fs::read_dir(folder.path().join("run")).expect("list").flatten();
    let events = entries.map(|e| e.path()).find(|path| path.to_string_lossy().contains("tfevents"));
    let events = text(&std::fs::read(events.expect("an event file")).expect("read"));
    for tag in [
        "_hparams_/session_start_info",
        "learner.gamma",
        "rollout/return_mean_100",
        "rollout/episode_length",
        "train/gradient_norm",
        "time/steps_per_second",
        "evaluation/return_mean",
    ] {
        assert!(events.contains(tag), "{tag}");
    }
}

#[test]
fn agents_are_listed() {
    let list = accepted(folder().path(), &["agents"]);
    let names: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.starts_with(&["reinforce", "a2c", "relax-a2c"]), "{list}");
    assert!(list.lines().all(|line| line.split("  ").count() > 1), "each has a summary: {list}");
}

#[test]
fn environments_are_listed_shown_and_checked() {
    let folder = folder();
    let list = accepted(folder.path(), &["envs", "list"]);
    for id in ["CartPole-v1", "Acrobot-v1", "MountainCar-v0"] {
        assert!(list.contains(id), "{list}");
    }
    // What it does not have is told beside the list, so that a list that is piped on is one of ids.
    let notes = text(&relax(folder.path(), &["envs", "list"]).stderr);
    assert!(notes.contains("gym:ID: ") && !list.contains("gym:"), "{notes}");
    let mujoco = notes.contains("with --features mujoco: ") && notes.contains("HalfCheetah-v5");
    assert!(mujoco != list.contains("HalfCheetah-v5"), "{notes}");
    let show = accepted(folder.path(), &["envs", "show", "CartPole-v1"]);
    for part in ["Discrete(2)", "500", "475", "sutton_barto_reward"] {
        assert!(show.contains(part), "{show}");
    }
    let check = accepted(folder.path(), &["envs", "check", "CartPole-v1", "--steps", "200"]);
    assert!(check.contains("passed"), "{check}");
    for command in ["show", "check"] {
        refused(folder.path(), &["envs", command, "CartPol-v1"], &["CartPol-v1", "CartPole-v1", "envs list"]);
    }
}

#[test]
fn a_shown_configuration_is_complete_and_shows_itself_again() {
    let folder = folder();
    let arguments = ["config", "show", "good.toml", "--set", "learner.gamma=0.25"];
    let first = accepted(folder.path(), &arguments);
    assert!(first.contains("gamma = 0.25") && first.contains("value_learning_rate"), "{first}");
    std::fs::write(folder.path().join("full.toml"), &first).expect("write");
    assert_eq!(accepted(folder.path(), &["config", "show", "full.toml"]), first);
}

#[test]
fn every_configuration_of_the_repository_is_valid() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut count = 0;
    for entry in std::fs::read_dir(&configs).expect("configs/") {
        let path = entry.expect("entry").path();
        // Folders hold configurations of other kinds, such as suites.
        if path.is_dir() {
            continue;
        }
        accepted(&configs, &["config", "show", path.to_str().expect("a plain name")]);
        count += 1;
    }
    assert!(count >= 7, "{count} configurations");
}

#[test]
fn every_suite_of_the_repository_is_valid() {
    let suites = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/suites");
    for entry in std::fs::read_dir(&suites).expect("configs/suites/") {
        let path = entry.expect("entry").path();
        let request = relax_rl::compare::Request { configs: vec![path.clone()], ..Default::default() };
        let plan = relax_rl::compare::Plan::new(&request).unwrap_or_else(|error| panic!("{error}"));
        assert!(!plan.jobs.is_empty(), "{}", path.display());
    }
}

#[test]
fn schema_and_completions_are_printed() {
    let folder = folder();
    let explained = accepted(folder.path(), &["config", "schema"]);
    assert!(explained.contains("[learner]") && explained.contains("Discount factor"), "{explained}");
    let schema = accepted(folder.path(), &["config", "schema", "--json"]);
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    assert!(schema["properties"]["learner"].is_object());
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(accepted(folder.path(), &["completions", shell]).contains("relax"), "{shell}");
    }
}

#[test]
fn help_of_every_command_has_an_example_where_one_is_needed() {
    let folder = folder();
    for arguments in [
        &["--help"][..],
        &["train", "--help"],
        &["resume", "--help"],
        &["eval", "--help"],
        &["plot", "--help"],
    ] {
        let help = accepted(folder.path(), arguments);
        assert!(help.contains("Example") && help.contains("Usage"), "{help}");
    }
    assert!(accepted(folder.path(), &["--version"]).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn runs_are_plotted() {
    let folder = folder();
    for seed in 0..2 {
        let run = folder.path().join(format!("runs/a2c-s{seed}"));
        std::fs::create_dir_all(&run).expect("folder");
        std::fs::write(run.join("config.toml"), format!("{CONFIG}[run]\nseed = {seed}\n")).expect("write");
        let rows: String = (1..200).map(|i| format!("{i},{},0,{i}.0,{i},true,0.1\n", i * 50)).collect();
        let heading = "episode,env_steps,slot,return,length,terminated,wall_seconds\n";
        std::fs::write(run.join("episodes.csv"), format!("{heading}{rows}")).expect("write");
    }
    accepted(folder.path(), &["plot", "runs", "--out", "x.svg"]);
    let svg = std::fs::read_to_string(folder.path().join("x.svg")).expect("written");
    assert!(svg.contains("mean of 2 runs") && svg.contains("solved: 475"));
}
