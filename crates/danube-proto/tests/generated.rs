//! The committed code is what the protocol's file says. Nobody who only builds Danube compiles a protocol compiler.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::{env, fs};

/// Compiles `shim.proto` in pure Rust: no `protoc` need be installed.
fn generate(into: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = protox::compile(["danube/v1/shim.proto"], [root.join("proto")]).unwrap();
    tonic_prost_build::configure()
        .client_mod_attribute("danube.v1", "#[cfg(feature = \"client\")]")
        .server_mod_attribute("danube.v1", "#[cfg(feature = \"server\")]")
        .bytes(".")
        .out_dir(into)
        .compile_fds(files)
        .unwrap();
}

#[test]
fn the_committed_code_is_generated_from_the_protocol() {
    let fresh = tempfile::tempdir().unwrap();
    generate(fresh.path());
    let fresh = fs::read_to_string(fresh.path().join("danube.v1.rs")).unwrap();
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated/danube.v1.rs");
    if env::var_os("DANUBE_GENERATE").is_some() {
        fs::write(&committed, &fresh).unwrap();
    }
    let committed = fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        committed == fresh,
        "generated/danube.v1.rs is not what proto/danube/v1/shim.proto gives; \
         run: DANUBE_GENERATE=1 cargo test -p danube-proto --test generated"
    );
}
