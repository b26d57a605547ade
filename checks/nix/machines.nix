# Small NixOS systems with the module in them, and the unit that it makes.
{
  self,
  lib,
  pkgs,
  system,
  ...
}:
let
  machine =
    given:
    (self.inputs.nixpkgs.lib.nixosSystem {
      modules = [
        self.nixosModules.default
        {
          nixpkgs.hostPlatform = system;
          fileSystems."/" = {
            device = "none";
            fsType = "tmpfs";
          };
          boot.loader.grub.enable = false;
          system.stateVersion = "26.05";
          services.danube = {
            enable = true;
          }
          // given;
        }
      ];
    }).config;

  # Store paths differ from one nixpkgs to the next, the rest must not.
  masked =
    text:
    lib.concatMapStrings (part: if builtins.isList part then "/nix/store/…" else part) (
      builtins.split "/nix/store/[^/: \"\n]+" (builtins.unsafeDiscardStringContext text)
    );
in
rec {
  inherit machine;

  # As little as can be said.
  plain = machine { };

  # Everything that can be said.
  full = machine {
    settings = {
      data_dir = "/srv/danube";
      config.url = "/srv/git/danube-config.git";
      limits.jobs = 4;
    };
    credentials.api-token = "/run/keys/danube-api-token";
  };

  # A secret that would be in the store: as a path of the configuration, and as a file that was built.
  leaking = map (file: machine { credentials.api-token = file; }) [
    ../../README.md
    (toString (pkgs.writeText "token" "not secret any more"))
  ];

  unit = masked full.systemd.units."danube.service".text;
}
