# The master in a container. `danube serve` asks for Python and Git at its start, and runs jobs in sandboxes of its own:
# the container must be allowed user namespaces.
{
  dockerTools,
  danube,
  python3,
  gitMinimal,
  account,
}:
dockerTools.buildLayeredImage {
  name = "danube";
  tag = danube.version;
  contents = [
    account.files
    danube
    python3
    gitMinimal
    dockerTools.caCertificates
  ];
  extraCommands = "mkdir -m 1777 tmp";
  fakeRootCommands = "install -d var/lib && install -d -m 0700 -o 65532 -g 65532 var/lib/danube";
  config = {
    User = account.user;
    Entrypoint = [ "/bin/danube" ];
    Cmd = [ "serve" ];
    Env = [
      "PATH=/bin"
      "MALLOC_ARENA_MAX=1"
    ];
    Volumes."/var/lib/danube" = { };
  };
}
