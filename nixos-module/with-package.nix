# The module as the flake gives it: the same, with this flake's own package.
self:
{
  lib,
  pkgs,
  ...
}:
{
  imports = [ ./. ];
  services.danube.package = lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.danube;
}
