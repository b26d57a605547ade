# What each build reads of this repository. A file that is not named here changes no package, and target/ is in none.
{ lib }:
let
  root = ../.;
  inherit (lib) fileset;

  # Python leaves its byte code beside what it ran.
  clean = set: fileset.difference set (fileset.fileFilter (file: file.hasExt "pyc") root);
  of =
    sets:
    fileset.toSource {
      inherit root;
      fileset = clean (fileset.unions sets);
    };

  # .cargo/config.toml keeps sqlx offline.
  cargo = [
    ../Cargo.toml
    ../Cargo.lock
    ../.cargo/config.toml
  ];
  # Cargo reads every member's manifest and asks whether its root file is there; what the others contain is not the shim's.
  crates = builtins.attrNames (lib.filterAttrs (_: type: type == "directory") (builtins.readDir ../crates));
  skeleton = lib.concatMap (name: [
    (../crates + "/${name}/Cargo.toml")
    (fileset.maybeMissing (../crates + "/${name}/src/lib.rs"))
    (fileset.maybeMissing (../crates + "/${name}/src/main.rs"))
  ]) crates;

  # What the binary carries: pages, the SDK, the bundled example.
  carried = [
    ../web/templates
    ../web/static
    ../coordinator/src
    ../examples/python
  ];
in
{
  danube = of (
    cargo
    ++ carried
    ++ [ ../crates ]
  );

  shim = of (
    cargo
    ++ skeleton
    ++ [
      ../crates/danube-shim
      ../crates/danube-proto
      ../crates/danube-core
    ]
  );

  sdk = fileset.toSource {
    root = ../coordinator;
    fileset = clean (
      fileset.unions [
        ../coordinator/pyproject.toml
        ../coordinator/README.md
        ../coordinator/build_backend.py
        ../coordinator/src
      ]
    );
  };

  # What is only put into an image.
  sdkModules = fileset.toSource {
    root = ../coordinator/src;
    fileset = clean ../coordinator/src;
  };

  # Tests also read the pages that are written from the code, and settings of the tools.
  checks = of (
    cargo
    ++ carried
    ++ [
      ../crates
      ../examples
      ../docs
      ../clippy.toml
      ../rustfmt.toml
      ../deny.toml
    ]
  );

  # Everything that the checks of the whole tree look at.
  tree = of [
    ../crates
    ../coordinator
    ../checks
    ../docs
    ../examples
    ../images
    ../nixos-module
    ../web
    ../README.md
    ../Cargo.toml
    ../flake.nix
    ../flake.lock
  ];
}
