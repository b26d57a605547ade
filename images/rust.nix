# The Rust programs, for whatever platform `pkgs` builds for. `danube` is built with glibc or statically with musl by the
# same lines; the shim is static always.
{ pkgs, crane }:
let
  inherit (pkgs) lib;
  craneLib = crane.mkLib pkgs;
  sources = import ./sources.nix { inherit lib; };
  manifest = builtins.fromTOML (builtins.readFile ../Cargo.toml);
  inherit (manifest.workspace.package) version;
  needed = manifest.workspace.package.rust-version;

  common = {
    inherit version;
    strictDeps = true;
    # The tests are checks of their own: a package must not need what they need.
    doCheck = false;
  };

  # What every build of one profile and set of crates shares: built anew only when Cargo.lock or a manifest changes.
  withDependencies = arguments: arguments // { cargoArtifacts = craneLib.buildDepsOnly arguments; };

  meta = {
    license = lib.licenses.asl20;
    platforms = lib.platforms.linux;
  };
in
assert lib.assertMsg (lib.versionAtLeast pkgs.buildPackages.rustc.version needed)
  "Danube needs Rust ${needed}; this nixpkgs has ${pkgs.buildPackages.rustc.version}";
{
  inherit craneLib sources version;

  # Named `danube-shim`, without a library and without a path into the store: it runs in images that have neither.
  shim = craneLib.buildPackage (
    withDependencies (
      common
      // {
        pname = "danube-shim";
        src = sources.shim;
        cargoExtraArgs = "--locked --package danube-shim --bin danube-shim";
        CARGO_PROFILE = "shim";
      }
    )
    // {
      doInstallCheck = true;
      installCheckPhase = ''
        if "$READELF" --program-headers $out/bin/danube-shim | grep INTERP; then
          echo "danube-shim: it names an interpreter, so it is not static" >&2
          exit 1
        fi
      '';
      meta = meta // {
        description = "PID 1 of every container of a job";
        mainProgram = "danube-shim";
      };
    }
  );

  danube =
    { shim }:
    craneLib.buildPackage (
      withDependencies (
        common
        // {
          pname = "danube";
          src = sources.danube;
          cargoExtraArgs = "--locked --package danube";
        }
      )
      // {
        # crates/danube/build.rs takes this one instead of building one by a nested cargo.
        DANUBE_SHIM_PREBUILT = "${shim}/bin/danube-shim";
        postInstall = lib.optionalString (pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform) ''
          mkdir -p $out/share/man/man1
          $out/bin/danube man $out/share/man/man1
        '';
        meta = meta // {
          description = "Self-hosted CI: pipelines in plain Python, one binary";
          mainProgram = "danube";
        };
      }
    );
}
