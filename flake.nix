{
  description = "Danube, a self-hosted CI system";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    crane.url = "github:ipetkov/crane";
    nixos-generators = {
      url = "github:nix-community/nixos-generators";
      inputs.nixpkgs.follows = "nixpkgs";
    };
  };

  # Only names and imports stand here. docs/nix.md says what was evaluated, what was built and what was not.
  outputs =
    {
      self,
      nixpkgs,
      crane,
      nixos-generators,
    }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      # What every file below may ask for.
      forSystem = system: rec {
        inherit
          self
          lib
          crane
          nixos-generators
          system
          ;
        pkgs = nixpkgs.legacyPackages.${system};
        packages = import ./images { inherit pkgs crane; };
      };
      each = file: lib.genAttrs systems (system: import file (forSystem system));
    in
    {
      packages = each ./images/packages.nix;
      apps = each ./images/apps.nix;
      devShells = each ./images/dev-shell.nix;
      checks = each ./checks/nix;
      formatter = lib.genAttrs systems (system: nixpkgs.legacyPackages.${system}.nixfmt-tree);
      overlays.default = final: _: import ./images/overlay.nix { inherit crane final; };
      nixosModules.danube = import ./nixos-module/with-package.nix self;
      nixosModules.default = self.nixosModules.danube;
      # What is written into the repository from the module itself (docs/nix.md).
      lib = {
        optionsPage = import ./nixos-module/options.nix { inherit lib nixpkgs; };
        inherit (import ./checks/nix/machines.nix (forSystem "x86_64-linux")) unit;
      };
    };
}
