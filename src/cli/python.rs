//! Which Python `gym:` environments run in.

use std::path::Path;

use relax_runtime::Error;

/// Takes up `--python`.
pub(super) fn use_python(path: Option<&Path>) -> Result<(), Error> {
    let Some(path) = path else { return Ok(()) };
    #[cfg(feature = "gym")]
    relax_envs::gym::use_python(path);
    #[cfg(feature = "gym")]
    return Ok(());
    #[cfg(not(feature = "gym"))]
    Err(Error::input(format!("--python {}: this program was built without Python", path.display()))
        .with_hint("build it with `cargo build --release --features gym` (docs/gymnasium.md)"))
}

/// Says which Python runs, once one does.
pub(super) fn name_python(quiet: bool) {
    #[cfg(feature = "gym")]
    if let (false, Some(python)) = (quiet, relax_envs::gym::python_in_use()) {
        super::output::note(&format!("python: {python}"));
    }
    #[cfg(not(feature = "gym"))]
    let _ = quiet;
}
