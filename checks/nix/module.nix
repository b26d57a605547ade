# The module in a small NixOS: what it makes of its options, and what it refuses. Looked at by evaluation alone; only the
# name of the finished system is in the result.
{
  self,
  lib,
  pkgs,
  system,
}:
let
  inherit
    (import ./machines.nix {
      inherit
        self
        lib
        pkgs
        system
        ;
    })
    machine
    plain
    full
    leaking
    unit
    ;
  wrong = config: map (found: found.message) (lib.filter (found: !found.assertion) config.assertions);
  service = config: config.systemd.services.danube.serviceConfig;

  # Every key of danube.toml, as its page has it, is an option. `credentials` is told by systemd.
  page = lib.splitString "\n" (builtins.readFile ../../docs/danube.toml.md);
  keys =
    (lib.foldl'
      (
        { table, found }:
        line:
        let
          heading = builtins.match "## `\\[(.*)]`" line;
          row = builtins.match "\\| `([a-z_]+)` \\|.*" line;
        in
        if heading != null then
          {
            inherit found;
            table = heading;
          }
        else
          {
            inherit table;
            found = found ++ lib.optional (row != null) (table ++ row);
          }
      )
      {
        table = [ ];
        found = [ ];
      }
      page
    ).found;
  missing = lib.filter (key: key != [ "credentials" ] && !lib.hasAttrByPath key plain.services.danube.settings) keys;

  expectations = {
    "a service that runs is one that was asked for" =
      !((machine { enable = lib.mkForce false; }).systemd.services ? danube);
    "the unit is the one that was looked at (nix eval --raw .#lib.unit >checks/nix/danube.service.snapshot)" =
      unit == builtins.readFile ./danube.service.snapshot;
    "jobs outlive the service" = (service plain).KillMode == "process" && (service plain).Delegate == "yes";
    "the wrapper of newuidmap can start" =
      lib.hasInfix "CAP_SETPCAP" (service plain).CapabilityBoundingSet;
    "the usual data directory is systemd's to make" = (service plain).StateDirectory == "danube";
    "another one is writable, and made for Danube alone" =
      (service full).ReadWritePaths == [ "/srv/danube" ]
      && !((service full) ? StateDirectory)
      && full.systemd.tmpfiles.settings.danube."/srv/danube".d.mode == "0700";
    "a secret comes as a file" = (service full).LoadCredential == [ "api-token:/run/keys/danube-api-token" ];
    "without a secret there is none" = (service plain).LoadCredential == [ ];
    "what is right is refused by nothing: ${toString (wrong full)}" = wrong plain == [ ] && wrong full == [ ];
    "a secret in the store is refused" = lib.all (
      config: lib.any (lib.hasInfix "services.danube.credentials.api-token: /nix/store/") (wrong config)
    ) leaking;
    "no port is opened" =
      plain.networking.firewall.enable && plain.networking.firewall.allowedTCPPorts == [ ];
    "a value of a wrong type is refused" =
      !(builtins.tryEval (machine { settings.limits.jobs = 0; }).services.danube.settings.limits.jobs).success;
    "users of images have ids" = (builtins.head plain.users.users.danube.subUidRanges).count == 65536;
    "clients find the server" = plain.environment.etc ? "danube/danube.toml";
    "keys of danube.toml that are no options: ${builtins.toJSON missing}" = keys != [ ] && missing == [ ];
  };
  failed = builtins.attrNames (lib.filterAttrs (_: holds: !holds) expectations);
  toplevel = builtins.unsafeDiscardStringContext full.system.build.toplevel.drvPath;
in
if failed == [ ] then
  pkgs.runCommand "danube-module" { } "echo ${toplevel} >$out"
else
  throw "the NixOS module does not keep: ${lib.concatStringsSep "; " failed}"
