//! With the feature `gym`: tells the program where libpython is, since Python is often not where the loader looks.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "gym")]
    pyo3_build_config::add_libpython_rpath_link_args();
}
