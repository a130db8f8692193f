//! Where a run is written: the folder the user names, or a fresh one.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use relax_runtime::Error;
use relax_runtime::run::latest_checkpoint;
use relax_training::config::Config;

/// The folder that runs go to when none is named.
const RUNS: &str = "runs";

/// Makes the run folder: `named`, which must not hold anything yet, or a fresh one under `runs`
/// whose name begins with `stem`.
pub(super) fn prepare(named: Option<&Path>, stem: &str) -> Result<PathBuf, Error> {
    match named {
        Some(folder) => prepare_named(folder).map(|()| folder.to_owned()),
        None => prepare_fresh(Path::new(RUNS), stem),
    }
}

/// Refuses, before the work is done, a file that cannot be written after it: its folder must be there, and it must be none itself.
pub(super) fn require_file(option: &str, file: &Path) -> Result<(), Error> {
    let shown = file.display();
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if file.is_dir() {
        return Err(Error::input(format!("{option} {shown}: is a folder, not a file"))
            .with_hint("name the file that is to be written"));
    }
    if !folder.is_dir() {
        let message = format!("{option} {shown}: there is no folder {}", folder.display());
        return Err(Error::input(message).with_hint("make it first, or name another"));
    }
    Ok(())
}

/// Refuses, before the work is done, a folder that cannot be made after it.
pub(super) fn require_place(option: &str, folder: &Path) -> Result<(), Error> {
    match folder.ancestors().find(|part| part.exists()) {
        Some(file) if !file.is_dir() => {
            let message = format!("{option} {}: {} is a file", folder.display(), file.display());
            Err(Error::input(message).with_hint("name a folder, which need not exist yet"))
        }
        _ => Ok(()),
    }
}

/// Takes the folder away again if nothing came to be in it.
pub(super) fn discard_if_empty(folder: &Path) {
    // Removes empty folders only.
    let _ = fs::remove_dir(folder);
}

fn prepare_named(folder: &Path) -> Result<(), Error> {
    let shown = folder.display();
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => {
                let hint = if latest_checkpoint(folder).is_file() {
                    format!("`relax resume {shown}` continues that run; for a new one name another folder")
                } else if folder.join("config.toml").is_file() {
                    "that run stopped before its first checkpoint; remove the folder or name another"
                        .to_owned()
                } else {
                    "name a folder that does not exist yet".to_owned()
                };
                Err(Error::input(format!("the run folder {shown} is not empty")).with_hint(hint))
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Err(Error::input(format!("{shown} is a file, not a folder"))
                .with_hint("--out names the run folder; choose one that does not exist yet"))
        }
        Err(source) => Err(Error::io("read", folder, source)),
    }
}

fn prepare_fresh(parent: &Path, stem: &str) -> Result<PathBuf, Error> {
    fs::create_dir_all(parent).map_err(|source| Error::io("create", parent, source))?;
    for number in 1u64.. {
        let folder = parent.join(format!("{stem}-{number}"));
        // Creating and testing in one step: runs that start at the same moment get different folders.
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::io("create", &folder, source)),
        }
    }
    Err(Error::runtime(format!("no free name for a run folder in {}", parent.display())))
}

/// `cartpole-relax-s0`; with the agent's name in between if the command line chose another than the file.
pub(super) fn stem(config_path: &Path, config: &Config) -> String {
    let name = config_path.file_stem().unwrap_or_default().to_string_lossy();
    let in_file = Config::load(config_path, &[]).map(|file| file.agent.kind);
    let agent = match in_file {
        Ok(kind) if kind == config.agent.kind => String::new(),
        _ => format!("-{}", config.agent.kind),
    };
    format!("{name}{agent}-s{}", config.run.seed)
}

/// `cartpole-v1-relax-a2c-s0`: for a run without a configuration file.
pub(super) fn plain_stem(config: &Config) -> String {
    let id = config.env.id.rsplit(':').next().unwrap_or_default().to_lowercase();
    let name: String =
        id.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    format!("{name}-{}-s{}", config.agent.kind, config.run.seed)
}

/// Refuses what is certainly no run folder, with a hint at what was probably meant.
pub(super) fn require_run(dir: &Path) -> Result<(), Error> {
    if dir.join("config.toml").is_file() {
        return Ok(());
    }
    let shown = dir.display();
    let (problem, hint) = if dir.is_file() {
        let hint = if dir.extension().is_some_and(|extension| extension == "toml") {
            format!("`relax train {shown}` starts a run from a configuration")
        } else {
            "give the folder of the run, not one of its files".to_owned()
        };
        ("is a file, not a run folder", hint)
    } else if dir.is_dir() {
        ("is not a run folder: it has no config.toml", "give a folder made by `relax train`".to_owned())
    } else {
        ("does not exist", "give a folder made by `relax train`; `ls runs` shows those made here".to_owned())
    };
    Err(Error::input(format!("{shown} {problem}")).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_folders_are_numbered() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let parent = root.path().join("runs");
        assert_eq!(prepare_fresh(&parent, "x-s0").expect("first"), parent.join("x-s0-1"));
        assert_eq!(prepare_fresh(&parent, "x-s0").expect("second"), parent.join("x-s0-2"));
        discard_if_empty(&parent.join("x-s0-1"));
        assert_eq!(prepare_fresh(&parent, "x-s0").expect("again"), parent.join("x-s0-1"));
    }

    #[test]
    fn a_folder_with_something_in_it_is_refused_and_kept() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = root.path().join("a/b");
        prepare_named(&folder).expect("fresh");
        prepare_named(&folder).expect("empty");
        let file = folder.join("config.toml");
        fs::write(&file, "x").expect("write");
        let error = prepare_named(&folder).expect_err("not empty");
        assert!(error.hint().is_some_and(|hint| hint.contains("before its first checkpoint")));
        let checkpoint = latest_checkpoint(&folder);
        fs::create_dir(folder.join("checkpoints")).expect("create");
        fs::write(&checkpoint, "x").expect("write");
        let error = prepare_named(&folder).expect_err("not empty");
        assert!(error.hint().is_some_and(|hint| hint.contains("relax resume")));
        assert_eq!(error.exit_code(), 2);
        discard_if_empty(&folder);
        assert!(file.exists());
        assert!(prepare_named(&file).expect_err("a file").to_string().contains("is a file"));
    }

    #[test]
    fn the_name_says_which_agent_only_if_the_command_line_chose_it() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let path = root.path().join("cartpole-relax.toml");
        fs::write(&path, "[env]\nid = \"CartPole-v1\"\n[agent]\nkind = \"relax-a2c\"\n").expect("write");
        let load = |sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(|&text| text.to_owned()).collect();
            Config::load(&path, &sets).expect("valid")
        };
        assert_eq!(stem(&path, &load(&[])), "cartpole-relax-s0");
        assert_eq!(stem(&path, &load(&["agent.kind=a2c", "run.seed=3"])), "cartpole-relax-a2c-s3");
    }
}
