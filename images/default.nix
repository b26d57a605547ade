# Everything that is built of this repository, for one package set: what the flake's packages, its overlay and its checks
# are made of.
{ pkgs, crane }:
let
  native = import ./rust.nix { inherit pkgs crane; };
  static = import ./rust.nix {
    pkgs = pkgs.pkgsStatic;
    inherit crane;
  };
  inherit (native) sources version;
  account = pkgs.callPackage ./account.nix { };
in
rec {
  inherit (native) craneLib;
  inherit sources version;

  danube-shim = static.shim;
  danube = native.danube { shim = danube-shim; };
  danube-static = static.danube { shim = danube-shim; };
  danube-sdk = pkgs.callPackage ./sdk.nix { src = sources.sdk; };

  shim-image = pkgs.callPackage ./shim-image.nix { shim = danube-shim; };
  coordinator-image = pkgs.callPackage ./coordinator.nix {
    inherit account version;
    inherit (sources) sdkModules;
    python = pkgs.callPackage ./coordinator-python.nix { };
  };
  master-image = pkgs.callPackage ./master.nix {
    inherit account;
    danube = danube-static;
  };
}
