# Formatting, lints, licences, and the tests that need neither a Debian around them nor the network: what runs whole jobs
# uses the machine's own /usr, which no Nix build has, and is `checks/run`'s and the virtual machine's.
{
  lib,
  pkgs,
  packages,
}:
let
  inherit (packages) craneLib version danube-shim;
  common = {
    pname = "danube-checks";
    inherit version;
    src = packages.sources.checks;
    strictDeps = true;
    cargoExtraArgs = "--locked --workspace --all-features";
  };
  cargoArtifacts = craneLib.buildDepsOnly (common // { CARGO_PROFILE = "dev"; });
  compiled = common // {
    inherit cargoArtifacts;
    CARGO_PROFILE = "dev";
    DANUBE_SHIM_PREBUILT = lib.getExe danube-shim;
  };
  # Their tests start no job, and no program but Git.
  tested = [
    "danube-core"
    "danube-proto"
    "danube-config"
    "danube-store"
    "danube-server"
  ];
in
{
  fmt = craneLib.cargoFmt {
    inherit (common) pname version src;
    cargoExtraArgs = "--all";
  };
  clippy = craneLib.cargoClippy (
    compiled // { cargoClippyExtraArgs = "--all-targets -- --deny warnings"; }
  );
  deny = craneLib.cargoDeny { inherit (common) pname version src; };
  tests = craneLib.cargoTest (
    compiled
    // {
      cargoExtraArgs = "--locked ${lib.concatMapStringsSep " " (name: "--package ${name}") tested}";
      nativeBuildInputs = [ pkgs.gitMinimal ];
    }
  );
}
