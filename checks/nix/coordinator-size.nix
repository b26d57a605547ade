# A coordinator's image is small: each node fetches it.
{ pkgs, packages }:
let
  most = 150 * 1000 * 1000;
  closure = pkgs.closureInfo { rootPaths = [ packages.coordinator-image.content ]; };
in
pkgs.runCommand "danube-coordinator-size" { } ''
  size=$(cat ${closure}/total-nar-size)
  echo "the coordinator's image: $size bytes unpacked, at most ${toString most}"
  test "$size" -lt ${toString most}
  touch $out
''
