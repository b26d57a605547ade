# The image that runs danubefiles: Python, the SDK and its runner. Not root, no shell, nothing to build with.
{
  dockerTools,
  runCommand,
  python,
  account,
  sdkModules,
  version,
  bash,
  bashNonInteractive,
  busybox,
}:
let
  # Also what it must not hold is said where it is put together: a build that drags a shell in fails.
  content =
    runCommand "danube-coordinator"
      {
        disallowedRequisites = [
          bash
          bashNonInteractive
          busybox
        ];
      }
      ''
        mkdir -p $out/usr/bin $out/danube
        ln -s ${python}/bin/python3 $out/usr/bin/python3
        cp -r ${sdkModules} $out/danube/sdk
      '';
in
dockerTools.buildLayeredImage {
  name = "danube-coordinator";
  tag = version;
  contents = [
    account.files
    content
  ];
  extraCommands = "mkdir -m 1777 tmp";
  config = {
    User = account.user;
    Env = [
      "PATH=/usr/bin"
      "PYTHONDONTWRITEBYTECODE=1"
    ];
    WorkingDir = "/tmp";
  };
  passthru = { inherit content; };
}
