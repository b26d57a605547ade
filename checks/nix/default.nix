# What `nix flake check` looks at. `checks/nix/run` evaluates all of it; docs/nix.md says what was ever built.
{
  self,
  lib,
  pkgs,
  packages,
  system,
  ...
}:
import ./rust.nix { inherit lib pkgs packages; }
// import ./tree.nix { inherit pkgs packages; }
// {
  module = import ./module.nix {
    inherit
      self
      lib
      pkgs
      system
      ;
  };
  overlay = import ./overlay.nix {
    inherit
      self
      lib
      pkgs
      packages
      ;
  };
  options-page = import ./options-page.nix { inherit self pkgs; };
  coordinator-size = import ./coordinator-size.nix { inherit pkgs packages; };
  # The test's own machine and script, which needs no KVM to be built; `nix build .#vm-module` runs it.
  vm-module-driver = self.packages.${system}.vm-module.driver;
}
// lib.mapAttrs' (name: lib.nameValuePair "package-${name}") {
  inherit (packages)
    danube
    danube-static
    danube-shim
    danube-sdk
    shim-image
    coordinator-image
    master-image
    ;
}
