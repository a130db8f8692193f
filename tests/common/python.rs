//! Python for the tests of the bridge: the project's own environment, made by `scripts/setup-python`.

#![allow(dead_code)]

use std::path::{Path, PathBuf};

/// The interpreter: `RELAX_PYTHON`, or the one that `scripts/setup-python` made.
pub fn python() -> PathBuf {
    if let Some(named) = std::env::var_os("RELAX_PYTHON") {
        return named.into();
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    assert!(own.exists(), "there is no {}: run scripts/setup-python first", own.display());
    own
}

/// The folder of the tests' own Python modules.
pub fn modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python")
}

/// Names the interpreter, and makes the folder of the tests' modules the working folder, where the bridge looks for modules when the first
/// environment is made: whichever test comes first, it has to call this.
pub fn start() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        std::env::set_current_dir(modules()).expect("the folder is there");
        relax_envs::gym::use_python(python());
    });
}
