# danube.toml: typed here, read by the program itself while the system is built.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.danube;
  inherit (lib) mkOption types;
  format = pkgs.formats.toml { };

  # A key that is not set is not written, so that the program's own default holds.
  optional =
    type: example: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit example description;
    };

  set =
    value:
    if builtins.isAttrs value then
      lib.filterAttrs (_: inner: inner != null && inner != { }) (lib.mapAttrs (_: set) value)
    else
      value;

  written = format.generate "danube.toml" (set cfg.settings);

  # A wrong value fails the build of the system, not the start of the service.
  checked =
    pkgs.runCommand "danube.toml" { preferLocalBuild = true; }
      ''
        ${lib.optionalString (pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform) "${lib.getExe cfg.package} check-config ${written}"}
        cp ${written} $out
      '';
in
{
  options.services.danube = {
    settings = mkOption {
      default = { };
      description = ''
        What stands in danube.toml. Keys that are not listed here may be written too; the program reads the file while the
        system is built, and refuses what it does not know. No secret belongs here: the file can be read by everybody on
        this machine ({option}`services.danube.credentials`).
      '';
      type = types.submodule {
        freeformType = format.type;
        options = {
          data_dir = mkOption {
            type = types.path;
            default = "/var/lib/danube";
            description = "Where the database, logs, artifacts and images are kept. It is made, for Danube's user only.";
          };
          listen = optional types.str "127.0.0.1:8080" ''
            Where it is spoken to: an address of the loopback. No port of the firewall is opened.
          '';
          runtime =
            optional
              (types.enum [
                "embedded"
                "kubernetes"
              ])
              "embedded"
              ''
                What runs jobs: sandboxes on this machine, or pods of a cluster.
              '';
          kubernetes = import ./kubernetes.nix { inherit types optional; };
          config = {
            url = optional types.str "/srv/git/danube-config.git" ''
              The configuration repository, on this machine: an absolute path, or `file://` and one. It belongs to Danube's
              user, or Git is told that it is safe (`safe.directory`); so do the repositories of pipelines.
            '';
            branch = optional types.str "main" "The branch whose newest commit counts.";
            sync_interval = optional types.str "60s" "How often it is looked at for a new commit.";
          };
          limits = {
            jobs = optional types.ints.positive 4 "Jobs that run at once; without it as many as there are processors.";
            jobs_per_pipeline = optional types.ints.positive 2 "Jobs of one pipeline that run at once.";
            warm = optional (types.ints.between 0 16) 1 "Job surroundings that are started ahead.";
          };
        };
      };
    };

    configFile = mkOption {
      type = types.path;
      readOnly = true;
      description = "The danube.toml that was made of the settings and that the program has read.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.danube.configFile = checked;
    # Where every command of the client looks.
    environment.etc."danube/danube.toml".source = checked;
  };
}
