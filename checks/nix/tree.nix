# The checks that read the tree, and the SDK's own tests.
{ pkgs, packages }:
let
  inherit (packages) sources;
  check =
    name: inputs: commands:
    pkgs.runCommand "danube-${name}" { nativeBuildInputs = inputs; } ''
      cp -r ${sources.tree} tree && chmod -R +w tree && cd tree
      ${commands}
      touch $out
    '';
  # They look at what Git knows.
  repository = "git init -q && git add -A";
in
{
  sizes = check "sizes" [ pkgs.python3 pkgs.gitMinimal ] "${repository} && python3 checks/sizes";
  hosts = check "hosts" [ pkgs.python3 pkgs.gitMinimal ] "${repository} && python3 checks/hosts";
  sdk = check "sdk" [ (pkgs.python3.withPackages (python: [ python.pytest ])) ] ''
    cd coordinator
    PYTHONPATH=$PWD/src PYTHONDONTWRITEBYTECODE=1 python3 -m pytest -q -p no:cacheprovider tests ../examples/python/ci
  '';
}
