//! `Library`: MuJoCo's shared library, found and opened at run time, and the functions of it that are used here.

use std::ffi::{CStr, c_char, c_int, c_uchar, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use libloading::Library as Shared;

use crate::EnvError;

/// The variable that names the library, or the folder it is in.
const VARIABLE: &str = "RELAX_MUJOCO";

/// What to do if there is none.
const REMEDY: &str = "run `scripts/setup-mujoco`, or `pip install --no-deps mujoco==3.17.0` into the Python in use, or set \
                      RELAX_MUJOCO to libmujoco.so or its folder (docs/worlds.md)";

/// `mjModel`, never looked into by name.
#[repr(C)]
pub(super) struct RawModel(c_uchar);

/// `mjData`, never looked into by name.
#[repr(C)]
pub(super) struct RawData(c_uchar);

/// `mjSpec`, a model before it is compiled.
#[repr(C)]
pub(super) struct RawSpec(c_uchar);

/// Declares the table of functions: the field is the C name.
macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// MuJoCo's functions. Valid for the life of the program, since the library is never closed.
        #[allow(non_snake_case)]
        pub(super) struct Library {
            /// `mj_version()`: 3017000 is 3.17.0.
            pub(super) version: u32,
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Library {
            /// Looks the functions up.
            fn bind(shared: &Shared, version: u32) -> Result<Self, &'static str> {
                // SAFETY: the signatures are those of mujoco.h from 3.3 to 4.0; `find` has refused older versions.
                unsafe {
                    Ok(Self {
                        version,
                        $($name: *shared
                            .get(concat!(stringify!($name), "\0").as_bytes())
                            .map_err(|_| stringify!($name))?,)*
                    })
                }
            }
        }
    };
}

functions! {
    mj_parseXMLString: fn(*const c_char, *const c_void, *mut c_char, c_int) -> *mut RawSpec;
    mj_compile: fn(*mut RawSpec, *const c_void) -> *mut RawModel;
    mj_deleteSpec: fn(*mut RawSpec);
    mj_deleteModel: fn(*mut RawModel);
    mj_makeData: fn(*const RawModel) -> *mut RawData;
    mj_deleteData: fn(*mut RawData);
    mj_resetData: fn(*const RawModel, *mut RawData);
    mj_stateSize: fn(*const RawModel, c_int) -> c_int;
    mj_getState: fn(*const RawModel, *const RawData, *mut f64, c_int);
    mj_setState: fn(*const RawModel, *mut RawData, *const f64, c_int);
    mj_forward: fn(*const RawModel, *mut RawData);
    mj_step: fn(*const RawModel, *mut RawData);
    mj_kinematics: fn(*const RawModel, *mut RawData);
    mj_rnePostConstraint: fn(*const RawModel, *mut RawData);
    mj_local2Global: fn(*mut RawData, *mut f64, *mut f64, *const f64, *const f64, c_int, c_uchar);
}

/// A version as people write it: `3.17.0`.
pub(super) fn version_text(version: u32) -> String {
    format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000)
}

/// The library, opened once.
///
/// # Errors
///
/// [`EnvError::MissingLibrary`]: there is none, or one that cannot be used, with what to do.
pub(super) fn library() -> Result<&'static Library, EnvError> {
    static OPENED: OnceLock<Result<Library, String>> = OnceLock::new();
    OPENED
        .get_or_init(find)
        .as_ref()
        .map_err(|reason| EnvError::MissingLibrary { library: "MuJoCo".to_owned(), reason: reason.clone() })
}

fn find() -> Result<Library, String> {
    let path = locate()?;
    let unusable = |reason: String| format!("{}: {reason}; {REMEDY}", path.display());
    // SAFETY: the initialisers of libmujoco only set up its own tables.
    let shared = unsafe { Shared::new(&path) }.map_err(|error| unusable(error.to_string()))?;
    // SAFETY: int mj_version(void), in every version.
    let version = unsafe {
        let get: libloading::Symbol<'_, unsafe extern "C" fn() -> c_int> = shared
            .get(b"mj_version\0")
            .map_err(|_| unusable("it has no function mj_version, so it is not MuJoCo".to_owned()))?;
        u32::try_from(get()).unwrap_or(0)
    };
    // Up to 3.2 the version was 320.
    if version < 3_003_000 {
        return Err(unusable("it is older than MuJoCo 3.3".to_owned()));
    }
    if version == 4_000_000 {
        return Err(unusable(
            "MuJoCo 4.0.0 computes wrong accelerations (its sparse Cholesky factorisation; 4.0.1 mends it)"
                .to_owned(),
        ));
    }
    let library = Library::bind(&shared, version).map_err(|function| {
        unusable(format!("MuJoCo {} has no function {function}", version_text(version)))
    })?;
    silence(&shared);
    std::mem::forget(shared);
    Ok(library)
}

/// Replaces MuJoCo's handler of warnings, which would print and write MUJOCO_LOG.TXT into the working folder. A warning
/// says that a state went astray and was reset, which the steps show, or that a model uses an old attribute.
fn silence(shared: &Shared) {
    unsafe extern "C" fn ignore(_: *const c_char) {}
    type Handler = Option<unsafe extern "C" fn(*const c_char)>;
    // SAFETY: `void (*mju_user_warning)(const char*)` is a variable of the library; nobody steps yet. A handler that is
    // there already (that of MuJoCo's Python package in the same process) is left alone.
    unsafe {
        if let Ok(variable) = shared.get::<*mut Handler>(b"mju_user_warning\0")
            && (**variable).is_none()
        {
            **variable = Some(ignore);
        }
    }
}

/// The path of the library: what `RELAX_MUJOCO` names, else that of the Python in use.
fn locate() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os(VARIABLE).map(PathBuf::from) {
        let found = if named.is_dir() { library_in(&named) } else { named.is_file().then(|| named.clone()) };
        return found.ok_or_else(|| format!("{VARIABLE} is {}, where no libmujoco is", named.display()));
    }
    let mut looked = Vec::new();
    for folder in package_folders() {
        if let Some(path) = library_in(&folder.join("mujoco")) {
            return Ok(path);
        }
        looked.push(folder.display().to_string());
    }
    let where_ = if looked.is_empty() { "no Python was found".to_owned() } else { looked.join(", ") };
    Err(format!("MuJoCo was not found (looked in: {where_}); {REMEDY}"))
}

/// `libmujoco.so*` in a folder (`libmujoco*.dylib` on macOS); the last in alphabetical order if there are several.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let is_library = |name: &str| {
        name.starts_with("libmujoco.so") || name.starts_with("libmujoco") && name.ends_with(".dylib")
    };
    let names = entries.map(|entry| entry.path());
    names.filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_library)).max()
}

/// Folders of Python packages, without starting Python where it can be told from the paths: `RELAX_PYTHON`,
/// `VIRTUAL_ENV`, `.venv` here, `python3`.
fn package_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(python) = std::env::var_os("RELAX_PYTHON") {
        folders.extend(ask(Path::new(&python)));
    }
    let environment = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    for environment in environment.into_iter().chain([PathBuf::from(".venv")]) {
        folders.extend(
            std::fs::read_dir(environment.join("lib"))
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path().join("site-packages"))
                .filter(|path| path.is_dir()),
        );
    }
    if !folders.iter().any(|folder| library_in(&folder.join("mujoco")).is_some()) {
        folders.extend(ask(Path::new("python3")));
    }
    folders
}

/// The package folders that an interpreter names.
fn ask(python: &Path) -> Vec<PathBuf> {
    let script = "import sys; print('\\n'.join(path for path in sys.path if path.endswith('-packages')))";
    let output = Command::new(python).args(["-c", script]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().map(PathBuf::from).collect()
}

/// Reads a C string.
///
/// # Safety
///
/// `text` points to bytes that end with a zero.
pub(super) unsafe fn text(text: *const c_char) -> String {
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
