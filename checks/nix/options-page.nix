# nixos-module/options.md says what the module says. Looked at by evaluation alone.
{ self, pkgs }:
if builtins.readFile ../../nixos-module/options.md == self.lib.optionsPage then
  pkgs.runCommand "danube-options-page" { } "touch $out"
else
  throw "nixos-module/options.md is old: nix eval --raw .#lib.optionsPage >nixos-module/options.md"
