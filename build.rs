//! Tells the program the commit it was built from, so that its reports can say so; and, with the feature `gym`, where
//! libpython is, since Python is often not where the loader looks.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    tell_commit();
    #[cfg(feature = "gym")]
    pyo3_build_config::add_libpython_rpath_link_args();
}

fn tell_commit() {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    // Without git, or outside a repository (a published crate), there is no commit to tell.
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=RELAX_COMMIT={commit}");
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
}
