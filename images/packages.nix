# The flake's packages of one system.
{
  self,
  lib,
  nixos-generators,
  system,
  packages,
  ...
}:
{
  inherit (packages)
    danube
    danube-static
    danube-shim
    danube-sdk
    shim-image
    coordinator-image
    master-image
    ;
  default = packages.danube;
  vm-module = import ../checks/nix/vm-module.nix {
    inherit self lib system;
  };
}
// import ./server.nix { inherit self lib nixos-generators system; }
