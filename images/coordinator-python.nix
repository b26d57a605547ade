# Python without a shell. nixpkgs writes a shell's path into `subprocess` and puts that shell into whatever holds Python;
# here the path leads nowhere, so that `shell=True` fails and no image has one.
{
  lib,
  python3,
  runCommand,
}:
let
  noShell = runCommand "no-shell" { } "mkdir $out";
  python = python3.override {
    self = python;
    bashNonInteractive = noShell;
    stripConfig = true;
    stripIdlelib = true;
    stripTests = true;
    stripTkinter = true;
  };
in
assert lib.assertMsg (lib.versionAtLeast python.version "3.11") "the SDK needs Python 3.11";
python
