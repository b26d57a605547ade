# The module on a machine that boots: a server with a pipeline, a job that runs, and one that outlives a restart. It needs
# KVM, and has not been run yet (docs/nix.md).
{
  self,
  lib,
  system,
}:
let
  pkgs = self.inputs.nixpkgs.legacyPackages.${system};
  image = pkgs.dockerTools.buildLayeredImage {
    name = "tool";
    tag = "1";
    contents = [ pkgs.busybox ];
    config.Env = [ "PATH=/bin" ];
  };
  danubefile = pkgs.writeText "danubefile.py" ''
    from danube import pipeline, step


    @pipeline(image="127.0.0.1:5000/team/tool:1")
    def build():
        step.run("echo came here", name="first")
        step.run("while ! test -e /workspace/go; do sleep 0.2; done", name="waits")
        step.run("echo and to the end", name="last")
  '';
  declared = pkgs.writeText "app.yaml" ''
    apiVersion: danube.dev/v1
    kind: Pipeline
    metadata:
      name: app
    spec:
      repository: /srv/git/app
  '';
in
pkgs.testers.runNixOSTest {
  name = "danube-module";
  nodes.machine = {
    imports = [ self.nixosModules.default ];
    environment.systemPackages = [
      pkgs.gitMinimal
      pkgs.skopeo
    ];
    services.dockerRegistry.enable = true;
    services.danube = {
      enable = true;
      credentials.api-token = "/etc/token";
      settings.config = {
        url = "/srv/git/config";
        sync_interval = "1s";
      };
    };
    # Of the test only: a secret of a real machine is no part of its configuration.
    environment.etc.token = {
      text = lib.concatStrings (lib.genList (_: "0") 64);
      mode = "0400";
    };
  };
  testScript = ''
    def repository(name, files):
        machine.succeed(f"git init -q -b main /srv/git/{name}")
        for source, target in files:
            machine.succeed(f"install -D -m 0644 {source} /srv/git/{name}/{target}")
        machine.succeed(f"cd /srv/git/{name} && git add -A && git -c user.name=t -c user.email=t@example.com commit -qm first")

    machine.wait_for_unit("docker-registry.service")
    machine.wait_for_unit("danube.service")
    machine.succeed("skopeo copy --insecure-policy --dest-tls-verify=false docker-archive:${image} docker://127.0.0.1:5000/team/tool:1")
    repository("config", [("${declared}", "pipelines/app.yaml")])
    repository("app", [("${danubefile}", "danubefile.py")])
    machine.succeed("chown -R danube:danube /srv/git")

    with subtest("what the module wrote is what the program reads"):
        machine.succeed("danube check-config /etc/danube/danube.toml")
        machine.succeed("danube check-config /srv/git/config")

    with subtest("the pipeline is there"):
        machine.wait_until_succeeds("danube pipelines | grep app")

    with subtest("a job goes on while the service is restarted"):
        machine.succeed("danube trigger app")
        machine.wait_until_succeeds("danube logs | grep 'came here'")
        machine.succeed("systemctl restart danube.service")
        machine.succeed("for dir in $(find /var/lib/danube -type d -name workspace); do touch $dir/go; done")
        machine.wait_until_succeeds("danube logs | grep 'and to the end'")

    with subtest("nobody else can read what it keeps"):
        machine.fail("setpriv --reuid nobody --clear-groups ls /var/lib/danube")
  '';
}
