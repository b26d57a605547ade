# options.md, written from the options themselves, without a build.
{ lib, nixpkgs }:
let
  evaluated = lib.evalModules {
    modules = [
      ./.
      {
        _module.check = false;
        _module.args.pkgs = nixpkgs.legacyPackages.x86_64-linux;
      }
    ];
  };
  listed = lib.optionAttrSetToDocList evaluated.options.services.danube;
  shown = lib.filter (option: option.visible && !option.internal) listed;

  text = value: value.text or (toString value);
  plain =
    description:
    lib.trim (
      builtins.replaceStrings
        [
          "{option}"
          "{file}"
          "\n"
        ]
        [
          ""
          ""
          " "
        ]
        (text description)
    );
  code = label: option: name: lib.optional (option ? ${name}) "- ${label}: `${lib.replaceStrings [ "\n" ] [ " " ] (text option.${name})}`";
  entry =
    option:
    lib.concatStringsSep "\n" (
      [
        "## `${option.name}`"
        ""
        (plain option.description)
        ""
        "- type: ${option.type}${lib.optionalString option.readOnly ", read only"}"
      ]
      ++ code "default" option "default"
      ++ code "example" option "example"
    );
in
''
  # Options of the NixOS module

  Written from the module; docs/nix.md says how it is written anew.

''
+ lib.concatMapStringsSep "\n\n" entry shown
+ "\n"
