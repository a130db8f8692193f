//! Finding a Python with Gymnasium, and starting it inside this program.

use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyModule;

use crate::EnvError;

/// The Python half of the bridge, a module after what it imports.
const MODULES: [(&str, &CStr, &CStr); 4] = [
    (concat!(include_str!("literals.py"), "\0"), c"relax_rl/literals.py", c"relax_rl_literals"),
    (concat!(include_str!("spaces.py"), "\0"), c"relax_rl/spaces.py", c"relax_rl_spaces"),
    (concat!(include_str!("masks.py"), "\0"), c"relax_rl/masks.py", c"relax_rl_masks"),
    (concat!(include_str!("bridge.py"), "\0"), c"relax_rl/bridge.py", c"relax_rl_bridge"),
];
/// The oldest Gymnasium with autoreset modes as they are now, and how to get one.
const OLDEST: (u32, u32) = (1, 1);
const PIP: &str = "pip install 'gymnasium>=1.2,<2'";

/// The interpreter that [`use_python`] named.
static NAMED: Mutex<Option<PathBuf>> = Mutex::new(None);
/// The bridge's module, once Python runs; or why it cannot.
static BRIDGE_MODULE: OnceLock<Result<Started, String>> = OnceLock::new();

struct Started {
    spaces: Py<PyModule>,
    module: Py<PyModule>,
    description: String,
}

/// Names the Python interpreter (`…/bin/python`) to use, ahead of `RELAX_PYTHON`, `VIRTUAL_ENV` and `python3`. To be
/// called before the first `gym:…` environment is made.
pub fn use_python(path: impl Into<PathBuf>) {
    *NAMED.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.into());
}

/// Which Python runs, with its version and Gymnasium's; none before the first `gym:…` environment.
pub fn python_in_use() -> Option<String> {
    BRIDGE_MODULE.get()?.as_ref().ok().map(|started| started.description.clone())
}

/// The bridge's module. Starts Python on the first call.
pub(super) fn bridge(py_less: impl FnOnce() -> Option<PathBuf>) -> Result<&'static Py<PyModule>, EnvError> {
    let started = BRIDGE_MODULE.get_or_init(|| start(py_less()));
    match started {
        Ok(started) => Ok(&started.module),
        Err(message) => Err(EnvError::Python { message: message.clone() }),
    }
}

/// The module that converts between Python's spaces and numbers. Starts Python on the first call.
pub(super) fn spaces() -> Result<&'static Py<PyModule>, EnvError> {
    bridge(named)?;
    match BRIDGE_MODULE.get() {
        Some(Ok(started)) => Ok(&started.spaces),
        _ => Err(EnvError::Python { message: "Python has not started".to_owned() }),
    }
}

/// The interpreter that [`use_python`] named, if any.
pub(super) fn named() -> Option<PathBuf> {
    NAMED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn start(named: Option<PathBuf>) -> Result<Started, String> {
    #[cfg(feature = "gym-embed")]
    embed::start(named)?;
    #[cfg(not(feature = "gym-embed"))]
    let _ = named;
    Python::attach(|py| {
        let executable: String = py
            .import("sys")
            .and_then(|sys| sys.getattr("executable")?.extract())
            .unwrap_or_else(|_| "python3".to_owned());
        let version = gymnasium_version(py, &executable)?;
        let load = |(source, file, name): (&str, &CStr, &CStr)| {
            let source = CStr::from_bytes_with_nul(source.as_bytes()).map_err(|error| error.to_string())?;
            PyModule::from_code(py, source, file, name)
                .map_err(|error| format!("the bridge to Gymnasium does not load in {executable}: {error}"))
        };
        let [literals, spaces, masks, bridge] = MODULES.map(load);
        literals?;
        masks?;
        let (spaces, module) = (spaces?, bridge?);
        let python = py.version_info();
        let description = format!(
            "{executable} (Python {}.{}.{}, gymnasium {version})",
            python.major, python.minor, python.patch
        );
        Ok(Started { spaces: spaces.unbind(), module: module.unbind(), description })
    })
}

/// The version of Gymnasium, which must be there and recent enough.
fn gymnasium_version(py: Python<'_>, executable: &str) -> Result<String, String> {
    let gymnasium = py.import("gymnasium").map_err(|error| {
        if error.is_instance_of::<pyo3::exceptions::PyModuleNotFoundError>(py) {
            let missing = error.value(py).getattr("name").map(|name| name.to_string()).unwrap_or_default();
            format!("{executable} has no package {missing}; `{executable} -m {PIP}`")
        } else {
            format!("{executable} cannot import gymnasium: {error}")
        }
    })?;
    let version: String =
        gymnasium.getattr("__version__").and_then(|v| v.extract()).unwrap_or_else(|_| "?".to_owned());
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < OLDEST {
        return Err(format!(
            "gymnasium {version} of {executable} is too old: {}.{} or later is needed; `{executable} -m {PIP}`",
            OLDEST.0, OLDEST.1
        ));
    }
    Ok(version)
}

#[cfg(feature = "gym-embed")]
mod embed {
    //! Starts the interpreter inside this program.
    #![allow(unsafe_code)] // CPython's start-up configuration has no safe interface in pyo3

    use std::ffi::{CStr, CString};
    use std::mem::MaybeUninit;
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use pyo3::ffi;

    /// Prints version and executable, a line each.
    const PROBE: &str = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable)";

    /// Starts Python as the chosen interpreter would: its virtual environment and packages are found.
    pub(super) fn start(named: Option<PathBuf>) -> Result<(), String> {
        // SAFETY: may be called at any time.
        if unsafe { ffi::Py_IsInitialized() } != 0 {
            return Ok(());
        }
        let (path, origin) = candidate(named);
        let (version, executable) = probe(&path, origin)?;
        let linked = linked_version();
        if version != linked {
            return Err(format!(
                "this program is linked to Python {linked}, but {} ({origin}) is Python {version}; name a Python {linked} \
                 with --python, or build again with `PYO3_PYTHON={} cargo build --release --features gym`",
                path.display(),
                path.display()
            ));
        }
        initialize(&executable)
    }

    /// The interpreter to use, and who named it.
    fn candidate(named: Option<PathBuf>) -> (PathBuf, &'static str) {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = named {
            (path, "--python")
        } else if let Some(path) = variable("RELAX_PYTHON") {
            (path, "RELAX_PYTHON")
        } else if let Some(path) = variable("VIRTUAL_ENV") {
            (path.join("bin/python"), "VIRTUAL_ENV")
        } else {
            (PathBuf::from("python3"), "python3 on PATH")
        }
    }

    /// Version and real executable of an interpreter.
    fn probe(path: &Path, origin: &str) -> Result<(String, String), String> {
        let shown = path.display();
        let hint = "name one with --python PATH or RELAX_PYTHON, or activate a virtual environment";
        let output = Command::new(path)
            .args(["-c", PROBE])
            .output()
            .map_err(|error| format!("there is no Python {shown} ({origin}): {error}; {hint}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines = text.lines().map(str::to_owned);
        match (output.status.success(), lines.next(), lines.next()) {
            (true, Some(version), Some(executable)) if !executable.is_empty() => Ok((version, executable)),
            _ => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().last().unwrap_or("it says nothing").to_owned();
                Err(format!("{shown} ({origin}) is no working Python: {last}; {hint}"))
            }
        }
    }

    /// `3.11` of the libpython in this process.
    fn linked_version() -> String {
        // SAFETY: returns a static, nul-terminated string, and needs no interpreter.
        let version = unsafe { CStr::from_ptr(ffi::Py_GetVersion()) }.to_string_lossy();
        version.split('.').take(2).collect::<Vec<_>>().join(".")
    }

    /// Starts the interpreter and lets go of its lock.
    fn initialize(executable: &str) -> Result<(), String> {
        let path = CString::new(std::ffi::OsStr::new(executable).as_bytes())
            .map_err(|_| format!("{executable:?} is no path"))?;
        let mut config = MaybeUninit::<ffi::PyConfig>::uninit();
        // SAFETY: the calls and their order are those of CPython's documentation ("Python Initialization
        // Configuration"): the configuration is initialised before it is used and cleared exactly once, and the lock
        // that the initialisation leaves with this thread is given back, so that any thread can attach.
        unsafe {
            ffi::PyConfig_InitPythonConfig(config.as_mut_ptr());
            let config_ptr = config.as_mut_ptr();
            (*config_ptr).install_signal_handlers = 0; // SIGINT is this program's own
            (*config_ptr).parse_argv = 0;
            let executable_field = &raw mut (*config_ptr).executable;
            let program_field = &raw mut (*config_ptr).program_name;
            let mut status = ffi::PyConfig_SetBytesString(config_ptr, executable_field, path.as_ptr());
            if ffi::PyStatus_Exception(status) == 0 {
                status = ffi::PyConfig_SetBytesString(config_ptr, program_field, path.as_ptr());
            }
            if ffi::PyStatus_Exception(status) == 0 {
                status = ffi::Py_InitializeFromConfig(config_ptr);
            }
            ffi::PyConfig_Clear(config_ptr);
            if ffi::PyStatus_Exception(status) != 0 {
                let reason = if status.err_msg.is_null() {
                    "no reason given".to_owned()
                } else {
                    CStr::from_ptr(status.err_msg).to_string_lossy().into_owned()
                };
                return Err(format!("Python does not start as {executable}: {reason}"));
            }
            ffi::PyEval_SaveThread();
        }
        Ok(())
    }
}
