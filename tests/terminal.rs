//! What people read fits their terminal: no line of any command is longer than it has columns, but for words (paths) that are. Where
//! nobody says how many columns there are, it is 80 for sentences and help, and lists keep a record in a line, short enough for 80 too.

use std::path::Path;
use std::process::Command;

use relax_runtime::terminal::USUAL;

const CONFIG: &str = "[env]\nid = 'CartPole-v1'\n[agent]\nkind = 'relax-a2c'\nhidden = [4]\n[rollout]\nenvs = 4\nsteps = 8\n\
                      [run]\nenv_steps = 320\nevaluation_episodes = 2\n";
const COMMANDS: [&str; 20] = [
    "train",
    "resume",
    "eval",
    "vae",
    "vae-sweep",
    "vae-variance",
    "envs",
    "envs list",
    "envs show",
    "envs check",
    "agents",
    "config",
    "config show",
    "config schema",
    "plot",
    "toy",
    "compare",
    "certify",
    "variance",
    "completions",
];

/// What `relax` says in the folder `at`, results and messages together.
fn said(at: &Path, arguments: &str, columns: Option<usize>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relax"));
    command.args(arguments.split(' ')).current_dir(at);
    match columns {
        Some(columns) => command.env("COLUMNS", columns.to_string()),
        None => command.env_remove("COLUMNS"),
    };
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(!text.is_empty() || arguments.starts_with("vae"), "{arguments} says nothing");
    String::from_utf8(text).unwrap()
}

#[track_caller]
fn assert_fits(text: &str, columns: usize, what: &str) {
    for line in text.lines() {
        // A path, and the hash of a state, behind its label.
        let text = line.trim_start().trim_start_matches("# ").trim_start_matches("state       ");
        let one_word = text.split(' ').count() == 1;
        // A tilde over a letter takes no column of its own.
        let width = line.chars().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).count();
        assert!(width <= columns || one_word, "{what}, {columns} columns: {width} in {line:?}");
    }
}

/// A folder with a configuration, a run and the data of auto-encoders in it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.toml"), CONFIG).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(root.join("configs/vae/mnist-linear1.toml"), folder.path().join("vae.toml")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(root.join("data"), folder.path().join("data")).unwrap();
    said(folder.path(), "train x.toml --out run", Some(80));
    folder
}

#[test]
fn every_line_fits() {
    let folder = folder();
    for columns in [60, 80] {
        let sentences = [
            format!(
                "train x.toml --seed 3 --set learner.gamma=0.98 --set learner.lambda=0.9 --out a{columns}"
            ),
            format!("train --env Pendulum-v1 --agent td3 --steps 200 --out t{columns}"),
            format!("resume run --set run.env_steps={}", 320 + 8 * columns),
            "eval run".to_owned(),
            "eval run --stochastic --render a.gif".to_owned(),
            "envs list".to_owned(),
            "envs show CartPole-v1".to_owned(),
            "envs show TicTacToe-v0".to_owned(),
            "envs check MountainCarContinuous-v0 --steps 300".to_owned(),
            "agents".to_owned(),
            "certify --list-bugs".to_owned(),
            format!(
                "vae vae.toml --set run.iterations=4 --set run.batch_size=8 --set run.log_every=2 --set run.final_samples=0 --out v{columns}"
            ),
            format!("vae vae.toml --set run.iterations=2 --data nowhere --out w{columns}"),
            format!("train vae.toml --out w{columns}"),
            format!("train nix.toml --out w{columns}"),
            format!("train x.toml --set learner.gama=3 --out w{columns}"),
            format!("train x.toml --set agent.kind=xx --out w{columns}"),
            "train --env ALE/Pong-v5".to_owned(),
            "train --env CartPole".to_owned(),
            "train --env CartPole-v1 --seed -1".to_owned(),
            "resume nowhere".to_owned(),
            "eval nowhere".to_owned(),
            "plot run --out a.jpg".to_owned(),
            "nonsense".to_owned(),
        ];
        for arguments in sentences {
            assert_fits(&said(folder.path(), &arguments, Some(columns)), columns, &arguments);
        }
        // As the program lists them: other tests register agents of their own here.
        let agents = said(folder.path(), "agents", None);
        for kind in agents.lines().filter_map(|line| line.split_whitespace().next()) {
            // Keys with their defaults are TOML, in one line; what they mean is for people.
            let text = said(folder.path(), &format!("config schema --agent {kind}"), Some(columns));
            let comments: String =
                text.lines().filter(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
            assert_fits(&comments, columns, kind);
            assert!(text.parse::<toml::Table>().is_ok(), "{kind}: {text}");
        }
        assert_fits(&said(folder.path(), "--help", Some(columns)), columns, "--help");
        for command in COMMANDS {
            let arguments = format!("{command} --help");
            assert_fits(&said(folder.path(), &arguments, Some(columns)), columns, &arguments);
        }
    }
}

/// Tables fold where they are too wide: the names of a row above its figures, which fit 80 columns.
#[test]
fn tables_fit_eighty_columns() {
    let folder = folder();
    let tables = [
        "certify --inject surrogate-gain-of-the-batch",
        "variance run --states 5",
        "compare x.toml --agents relax-a2c,a2c --seeds 2 --jobs 1 --out c",
        "toy --steps 200 --seeds 2 --out t",
    ];
    for arguments in tables {
        assert_fits(&said(folder.path(), arguments, Some(USUAL)), USUAL, arguments);
    }
}

#[test]
fn where_there_is_no_terminal() {
    let folder = folder();
    for command in COMMANDS {
        let arguments = format!("{command} --help");
        assert_fits(&said(folder.path(), &arguments, None), USUAL, &arguments);
    }
    for arguments in ["agents", "eval run", "envs list"] {
        let text = said(folder.path(), arguments, None);
        let records =
            text.lines().filter(|line| !line.starts_with("with --features") && !line.contains("gym:ID"));
        let records: String = records.map(|line| format!("{line}\n")).collect();
        assert_fits(&records, USUAL, arguments);
    }
    let said =
        said(folder.path(), "train x.toml --set learner.gamma=0.98 --set learner.lambda=0.9 --out b", None);
    let greeting: Vec<&str> = said.lines().take_while(|line| !line.contains('%')).collect();
    assert_fits(&greeting.join("\n"), USUAL, "greeting");
    // One record a line, to be searched: an error is not broken.
    let error = self::said(folder.path(), "train x.toml --set agent.kind=xx", None);
    assert!(
        error.lines().next().is_some_and(|line| line.contains("xx") && line.contains("`relax-ddpg`")),
        "{error}"
    );
}
