# The image of a pod's init container: one file and nothing else.
{ dockerTools, shim }:
dockerTools.buildLayeredImage {
  name = "danube-shim";
  tag = shim.version;
  includeStorePaths = false;
  extraCommands = "install -m 0555 ${shim}/bin/danube-shim danube-shim";
  config = {
    Entrypoint = [ "/danube-shim" ];
    User = "65532:65532";
  };
}
