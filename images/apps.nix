# What `nix run` starts.
{ lib, packages, ... }:
rec {
  danube = {
    type = "app";
    program = lib.getExe packages.danube;
    meta = { inherit (packages.danube.meta) description; };
  };
  default = danube;
}
