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
  # Also what the image must not hold is said here: a build that drags a shell in fails.
  programs =
    runCommand "danube-coordinator-programs"
      {
        disallowedRequisites = [
          bash
          bashNonInteractive
          busybox
        ];
      }
      ''
        mkdir -p $out/usr/bin
        ln -s ${python}/bin/python3 $out/usr/bin/python3
      '';

  # Compiled ahead, for the place where it will be: no job can write there.
  sdk = runCommand "danube-coordinator-sdk" { } ''
    cp -r ${sdkModules} $out
    chmod -R u+w $out
    ${python.pythonOnBuildForHost.interpreter} -m compileall -q -s $out -p /opt/danube/sdk --invalidation-mode unchecked-hash $out
  '';
in
dockerTools.buildLayeredImage {
  name = "danube-coordinator";
  tag = version;
  contents = [
    account.files
    programs
  ];
  extraCommands = ''
    mkdir -m 1777 tmp
    # /danube is a volume of the pod.
    mkdir -p opt/danube
    cp -r ${sdk} opt/danube/sdk
  '';
  config = {
    User = account.user;
    Env = [ "PATH=/usr/bin" ];
    WorkingDir = "/tmp";
  };
  passthru = { inherit programs sdk; };
}
