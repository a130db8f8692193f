//! Compiles Box2D for the feature `box2d`; otherwise there is nothing to build.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "box2d")]
    box2d();
}

/// All files as one: the compiler reads the headers once, which takes a tenth of the time.
#[cfg(feature = "box2d")]
fn box2d() {
    use std::path::{Path, PathBuf};

    println!("cargo::rerun-if-changed=box2d");
    let fail = |path: &Path, error: std::io::Error| -> ! { panic!("{}: {error}", path.display()) };
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("box2d");
    let mut files = vec![root.join("scene.cpp")];
    for folder in
        ["Collision", "Collision/Shapes", "Common", "Dynamics", "Dynamics/Contacts", "Dynamics/Joints"]
    {
        let folder = root.join("Box2D").join(folder);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| fail(&folder, error));
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "cpp"));
    files.sort();
    let text: String = files.iter().map(|path| format!("#include \"{}\"\n", path.display())).collect();
    let all = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("box2d.cpp");
    std::fs::write(&all, text).unwrap_or_else(|error| fail(&all, error));
    // No fused multiply-add: results must not depend on what the compiler finds to fuse. No assertions: they would end the
    // program.
    cc::Build::new()
        .cpp(true)
        .std("c++11")
        .include(&root)
        .file(&all)
        .define("NDEBUG", None)
        .flag_if_supported("-ffp-contract=off")
        .warnings(false)
        .debug(false)
        .compile("relax_box2d");
}
