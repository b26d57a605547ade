# A coordinator's image is small: each node fetches it.
{ pkgs, packages }:
let
  most = 150 * 1000 * 1000;
  inherit (packages) coordinator-image;
  closure = pkgs.closureInfo {
    rootPaths = [
      coordinator-image.programs
      coordinator-image.sdk
    ];
  };
in
pkgs.runCommand "danube-coordinator-size" { } ''
  size=$(cat ${closure}/total-nar-size)
  echo "the coordinator's image: $size bytes unpacked, at most ${toString most}"
  test "$size" -lt ${toString most}
  touch $out
''
