//! `relax toy` as a user meets it.

use std::path::Path;
use std::process::{Command, Output};

fn relax(at: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_relax"))
        .args(arguments)
        .current_dir(at)
        .output()
        .expect("the program starts")
}

#[test]
fn it_writes_its_files_and_prints_its_table() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let arguments =
        ["toy", "--estimator", "relax,reinforce", "--steps", "600", "--seeds", "2", "--out", "out"];
    let output = relax(folder.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["relax ", "reinforce ", "log-var 500", "theta at 600"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let out = folder.path().join("out");
    let csv = std::fs::read_to_string(out.join("toy.csv")).expect("toy.csv");
    assert!(csv.starts_with("estimator,seed,step,theta,loss,log_variance\nrelax,0,0,0.5,"), "{csv:.90}");
    let svg = std::fs::read_to_string(out.join("toy.svg")).expect("toy.svg");
    assert!(svg.contains("mean of 2 runs") && svg.contains("log-variance"));
    assert_eq!(&std::fs::read(out.join("toy.png")).expect("toy.png")[1..4], b"PNG");
    assert!(out.join("relaxation.csv").is_file());

    // The same again must not overwrite anything.
    let again = relax(folder.path(), &arguments);
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(out.join("toy.csv")).expect("toy.csv"), csv);
}

#[test]
fn bad_requests_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (arguments, part) in [
        (["--estimator", "rebarr"], "relaxed-rebar-coupled"),
        (["--estimator", "nvil"], "`baseline` learns a single number"),
        (["--target", "1.5"], "must lie between 0 and 1"),
        (["--learning-rate", "0"], "must lie in (0, 10]"),
        (["--seeds", "0"], "a whole number from 1 to 100000"),
    ] {
        let output = relax(folder.path(), &["toy", arguments[0], arguments[1]]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(part), "{arguments:?} should say {part:?}: {error}");
    }
    assert!(std::fs::read_dir(folder.path()).expect("a folder").next().is_none());
}
