# The SDK as a Python package; its wheel is in the output `dist`. The backend is a file of the sources themselves.
{
  python3Packages,
  lib,
  src,
}:
let
  inherit (builtins.fromTOML (builtins.readFile ../coordinator/pyproject.toml)) project;
in
python3Packages.buildPythonPackage {
  pname = project.name;
  inherit (project) version;
  inherit src;
  pyproject = true;
  build-system = [ ];
  dependencies = [ ];
  pythonImportsCheck = [
    "danube"
    "danube.testing"
  ];
  meta = {
    inherit (project) description;
    license = lib.licenses.asl20;
  };
}
