# Whom the server runs as, with a range of ids for the users of images.
{
  config,
  lib,
  ...
}:
let
  cfg = config.services.danube;
  inherit (cfg) subordinateIds;
in
{
  options.services.danube.subordinateIds = {
    start = lib.mkOption {
      type = lib.types.ints.positive;
      default = 2000000000;
      description = ''
        The first of the ids that users of images are mapped to. The range must be nobody else's; without one an image's
        users would all be one.
      '';
    };
    count = lib.mkOption {
      type = lib.types.ints.positive;
      default = 65536;
      description = "How many there are.";
    };
  };

  config = lib.mkIf cfg.enable {
    users.users.danube = {
      isSystemUser = true;
      group = "danube";
      description = "Danube";
      # Where registries' passwords are looked for.
      home = cfg.settings.data_dir;
      subUidRanges = [
        {
          startUid = subordinateIds.start;
          inherit (subordinateIds) count;
        }
      ];
      subGidRanges = [
        {
          startGid = subordinateIds.start;
          inherit (subordinateIds) count;
        }
      ];
    };
    users.groups.danube = { };
  };
}
