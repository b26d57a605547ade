# The service. Its settings are those of the unit that `danube install` writes; what differs on NixOS stands here with its
# reason.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.danube;
  inherit (cfg.settings) data_dir;
  usual = "/var/lib/danube";
  unit = import ./unit-file.nix {
    inherit lib;
    # Beside the command that writes it.
    file = ../crates/danube/src/install/danube.service;
  };

  place =
    if data_dir == usual then
      { inherit (unit) StateDirectory StateDirectoryMode; }
    else
      { ReadWritePaths = [ data_dir ]; };
in
{
  options.services.danube = {
    enable = lib.mkEnableOption "Danube, a self-hosted CI system, on this machine";

    package = lib.mkOption {
      type = lib.types.package;
      defaultText = lib.literalMD "the flake's own";
      description = "The Danube that is run.";
    };

    python = lib.mkPackageOption pkgs "python3" {
      extraDescription = "It runs danubefiles, in a sandbox that shows it the Nix store read-only.";
    };

    git = lib.mkPackageOption pkgs "gitMinimal" {
      extraDescription = "It reads the repositories.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];

    systemd.tmpfiles.settings = lib.mkIf (data_dir != usual) {
      danube.${data_dir}.d = {
        mode = "0700";
        user = "danube";
        group = "danube";
      };
    };

    systemd.services.danube = {
      description = "Danube, self-hosted CI";
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      # Jobs run on meanwhile, and the next start takes them up.
      restartIfChanged = true;
      path = [
        cfg.python
        cfg.git
        # newuidmap and newgidmap, with their rights.
        "/run/wrappers"
      ];
      serviceConfig =
        removeAttrs unit [
          "StateDirectory"
          "StateDirectoryMode"
        ]
        // place
        // {
          ExecStart = "${lib.getExe cfg.package} serve --config ${cfg.configFile}";
          # NixOS gives newuidmap its capability by a wrapper that holds cap_setpcap too; without it in the bounding set
          # the kernel does not even start the wrapper.
          CapabilityBoundingSet = "${unit.CapabilityBoundingSet} CAP_SETPCAP";
        };
    };
  };
}
