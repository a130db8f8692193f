//! What `relax train` says before it begins: what was chosen, and by whom.

use std::path::Path;

use relax_envs::{MakeOptions, Space};
use relax_training::config::{Config, RolloutMode};

/// The greeting of a run of `config`, which `file` and `overrides` came to, into the folder `out`.
pub(super) fn text(config: &Config, file: &Path, overrides: &[String], out: &Path) -> String {
    let agent = &config.agent.kind;
    let estimator = if agent == "relax-a2c" { estimator(config) } else { "" };
    let batch = match config.rollout.mode {
        RolloutMode::Steps => count(config.rollout.steps, "step"),
        RolloutMode::Episodes => "one episode".to_owned(),
    };
    let mut lines = vec![
        format!("{agent} on {}{estimator}, as {} says", config.env.id, file.display()),
        format!(
            "{} environment steps · {} × {batch} a batch · seed {}",
            config.run.env_steps,
            count(config.rollout.envs, "environment"),
            config.run.seed
        ),
    ];
    if !overrides.is_empty() {
        lines.push(format!("changed by arguments: {}", overrides.join(", ")));
    }
    lines.push(format!("run folder {}; Ctrl-C saves the state, `relax resume` goes on", out.display()));
    lines.join("\n")
}

/// `1 step`, `2 steps`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Which of the two estimators the actions call for; nothing for Python's environments, which are not made twice.
fn estimator(config: &Config) -> &'static str {
    if config.env.is_python() {
        return "";
    }
    let options = MakeOptions { kwargs: config.env.kwargs.clone(), ..MakeOptions::default() };
    let env = relax_envs::spec(&config.env.id).and_then(|spec| spec.make(&options));
    match env.as_ref().map(|env| env.action_space()) {
        Ok(Space::Box { .. }) => " (LAX, since actions are continuous)",
        Ok(_) => " (RELAX, since actions are discrete)",
        Err(_) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_was_chosen_and_why() {
        let say = |id: &str, kind, overrides: &[String]| {
            text(
                &Config::new(id, kind).expect("a configuration"),
                Path::new("pole.toml"),
                overrides,
                Path::new("runs/x"),
            )
        };
        let found = say("CartPole-v1", "relax-a2c", &["run.seed=3".to_owned()]);
        for part in [
            "relax-a2c on CartPole-v1 (RELAX, since",
            "pole.toml",
            "changed by arguments: run.seed=3",
            "runs/x",
        ] {
            assert!(found.contains(part), "{part}: {found}");
        }
        assert!(say("Pendulum-v1", "relax-a2c", &[]).contains("LAX, since actions are continuous"));
        let plain = say("CartPole-v1", "a2c", &[]);
        assert!(plain.starts_with("a2c on CartPole-v1, as") && !plain.contains("changed"), "{plain}");
        assert!(say("Pendulum-v1", "td3", &[]).contains(" · 1 environment × 1 step a batch · "));
    }
}
