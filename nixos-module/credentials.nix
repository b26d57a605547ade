# Secrets: named by their files only, which systemd gives to the service and to nobody else.
{
  config,
  lib,
  ...
}:
let
  cfg = config.services.danube;
  given = lib.filterAttrs (_: file: file != null) cfg.credentials;
  # A path of the configuration is not copied into the store by this, it is only looked at.
  inStore = file: lib.hasPrefix "${builtins.storeDir}/" (toString file);
in
{
  options.services.danube.credentials = {
    api-token = lib.mkOption {
      type = lib.types.nullOr lib.types.path;
      default = null;
      example = "/run/keys/danube-api-token";
      description = ''
        A file with a token for programs, at least 32 characters, that holds over restarts. It must not be in the Nix store,
        and only root need be able to read it.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = lib.mapAttrsToList (name: file: {
      assertion = !inStore file;
      message = ''
        services.danube.credentials.${name}: ${builtins.unsafeDiscardStringContext (toString file)} is in the Nix store, which everybody on this machine can
        read. Name a file outside of it as a string, for example "/run/keys/danube-${name}".
      '';
    }) given;

    systemd.services.danube.serviceConfig.LoadCredential = lib.mapAttrsToList (
      name: file: "${name}:${toString file}"
    ) given;
  };
}
