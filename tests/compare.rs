//! `relax compare` as a user meets it: it continues what was killed, comes to the same numbers in any order, takes other
//! libraries' runs, and refuses what is wrong before it starts.

use std::path::Path;
use std::process::Output;

use crate::common::relax;

fn compare(out: &Path, arguments: &[&str]) -> Output {
    let config = format!("{}/configs/cartpole-a2c.toml", env!("CARGO_MANIFEST_DIR"));
    let common = ["--budget", "3000", "--set", "run.evaluation_episodes=3", "--out"];
    relax().arg("compare").arg(config).args(common).arg(out).args(arguments).output().unwrap()
}

/// The table without the columns that depend on the clock.
fn table(out: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(out.join("results.csv")).unwrap();
    let heading: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let keep: Vec<usize> = (0..heading.len()).filter(|&i| !heading[i].contains("second")).collect();
    text.lines()
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            keep.iter().map(|&i| cells[i].to_owned()).collect()
        })
        .collect()
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    error
}

#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    words.iter().for_each(|word| assert!(error.contains(word), "{word} in {error}"));
}

#[test]
fn what_is_there_is_kept_and_what_is_missing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (at_once, in_parts) = (folder.path().join("a"), folder.path().join("b"));
    let agents = ["--agents", "a2c,relax-a2c"];
    succeeds(&compare(&at_once, &[&agents[..], &["--seeds", "3", "--jobs", "3"]].concat()));

    succeeds(&compare(&in_parts, &[&agents[..], &["--seeds", "1", "--jobs", "1"]].concat()));
    let kept = in_parts.join("runs/cartpole-a2c-s0/summary.json");
    let before = std::fs::read(&kept).unwrap();
    // One run was killed before its first checkpoint, another before its summary.
    std::fs::create_dir_all(in_parts.join("runs/cartpole-a2c-s1")).unwrap();
    std::fs::copy(
        at_once.join("runs/cartpole-a2c-s1/config.toml"),
        in_parts.join("runs/cartpole-a2c-s1/config.toml"),
    )
    .unwrap();
    std::fs::remove_file(in_parts.join("runs/cartpole-a2c-relax-a2c-s0/summary.json")).unwrap();
    let error = succeeds(&compare(&in_parts, &[&agents[..], &["--seeds", "3", "--jobs", "2"]].concat()));
    assert!(error.contains("6 runs, 1 of them finished"), "{error}");
    assert_eq!(std::fs::read(&kept).unwrap(), before);
    assert_eq!(table(&at_once), table(&in_parts));
    assert_eq!(table(&at_once).len(), 3);
}

#[test]
fn another_librarys_runs_stand_beside_ours() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.csv");
    let mut text = "agent,env,seed,env_steps,return,wall_seconds,evaluation\n".to_owned();
    for seed in 0..3 {
        for episode in 1..=150 {
            let total = if episode > 20 { 500 } else { 20 };
            text.push_str(&format!("other-a2c,CartPole-v1,{seed},{},{total},{episode},480\n", 20 * episode));
        }
    }
    std::fs::write(&file, text).unwrap();
    let out = folder.path().join("out");
    succeeds(&compare(&out, &["--seeds", "2", "--import", file.to_str().unwrap()]));
    let rows = table(&out);
    let of = |name: &str| rows[0].iter().position(|column| column == name).unwrap();
    let other = rows.iter().find(|row| row[1] == "other-a2c").unwrap();
    assert_eq!((other[of("iqm")].as_str(), other[of("solved")].as_str()), ("480", "3"));
    // The mean of 100 is 475 or more from episode 115 on: 5 of 20 and 95 of 500 make 476.
    assert_eq!(other[of("episodes_to_threshold_median")], "115");
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("other-a2c") && page.contains("Imported."));
}

/// A table of training episodes around 100, with or without what was measured after training.
fn imported(file: &Path, columns: &str, values: &str) {
    let mut text = format!("agent,env,seed,env_steps,return{columns}\n");
    for seed in 0..3 {
        for episode in 1..=30 {
            text.push_str(&format!("sb3,CartPole-v1,{seed},{},100{values}\n", 100 * episode));
        }
    }
    std::fs::write(file, text).unwrap();
}

#[test]
fn what_was_not_measured_alike_is_not_compared() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("sb3.csv"), folder.path().join("out"));
    // (columns, values, the return after training, what is remarked, whether P(X > Y) is shown)
    for (columns, values, iqm, remark, judged) in [
        ("", "", "", "not evaluated after training", false),
        (",evaluation", ",480", "480", "evaluation_rule", false),
        (",evaluation,evaluation_rule", ",480,sampled", "480", "drew actions", false),
        (",evaluation,evaluation_rule", ",480,greedy", "480", "", true),
    ] {
        imported(&file, columns, values);
        let output = compare(&out, &["--seeds", "3", "--import", file.to_str().unwrap()]);
        succeeds(&output);
        let rows = table(&out);
        let of = |name: &str| rows[0].iter().position(|column| column == name).unwrap();
        let sb3 = rows.iter().find(|row| row[1] == "sb3").unwrap();
        assert_eq!((sb3[of("iqm")].as_str(), sb3[of("training")].as_str()), (iqm, "100"), "{columns}");
        let page = std::fs::read_to_string(out.join("report.html")).unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(remark) && page.contains(remark), "{columns}: {said}");
        assert_eq!(page.contains("Probability of improvement"), judged, "{columns}");
        assert_eq!(said.contains("note: sb3"), !judged, "{said}");
        // One environment is not several, and its returns need no scale.
        assert!(!page.contains("Over several environments") && !page.contains("Scaled return"), "{columns}");
    }
}

#[test]
fn mistakes_are_refused_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    refused(&compare(&out, &["--agents", "a3c"]), &["a3c"]);
    refused(&compare(&out, &["--agents", "a2c,ppo,a2c"]), &["the agent a2c is named twice", "--seeds"]);
    refused(&compare(&out, &["--import", "nowhere.csv"]), &["nowhere.csv"]);
    refused(&compare(&out, &["--seeds", "0"]), &["--seeds"]);
    let file = folder.path().join("ours.csv");
    std::fs::write(&file, "agent,env,seed,env_steps,return\ncartpole-a2c,CartPole-v1,0,9,9\n").unwrap();
    refused(
        &compare(&out, &["--import", file.to_str().unwrap()]),
        &["cartpole-a2c", "name of a configuration"],
    );
    assert!(!out.exists());
    succeeds(&compare(&out, &["--seeds", "1"]));
    let before = std::fs::read(out.join("runs/cartpole-a2c-s0/episodes.csv")).unwrap();
    refused(&compare(&out, &["--seeds", "1", "--set", "learner.gamma=0.9"]), &["other settings", "--out"]);
    assert_eq!(std::fs::read(out.join("runs/cartpole-a2c-s0/episodes.csv")).unwrap(), before);
}
