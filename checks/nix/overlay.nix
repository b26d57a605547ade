# Who builds Danube with a nixpkgs of their own by the overlay gets what the flake gives for the same nixpkgs.
{
  self,
  lib,
  pkgs,
  packages,
}:
let
  extended = pkgs.extend self.overlays.default;
  differing = lib.filter (name: extended.${name}.drvPath != packages.${name}.drvPath) [
    "danube"
    "danube-static"
    "danube-shim"
    "danube-sdk"
  ];
in
if differing == [ ] then
  pkgs.runCommand "danube-overlay" { } "touch $out"
else
  throw "the overlay builds otherwise than the flake: ${toString differing}"
