# A disk image with NixOS and a Danube that waits for its configuration repository: to look at, or to begin with.
# `server-qcow2` is made by nixpkgs itself. `server-qcow2-generators` is the same by nixos-generators, which its authors
# have retired in favour of that (docs/nix.md); the input stays for this one package.
{
  self,
  lib,
  nixos-generators,
  system,
}:
let
  modules = [
    self.nixosModules.danube
    {
      services.danube.enable = true;
      networking.hostName = "danube";
      system.stateVersion = "26.05";
    }
  ];
  machine = self.inputs.nixpkgs.lib.nixosSystem {
    inherit modules system;
  };
in
{
  server-qcow2 = machine.config.system.build.images.qemu-efi;
  server-qcow2-generators = nixos-generators.nixosGenerate {
    inherit modules system;
    format = "qcow-efi";
  };
}
