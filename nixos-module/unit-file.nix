# The [Service] section of the unit that `danube install` writes, as NixOS takes it: one unit, whose reasons stand in it.
{ lib, file }:
let
  lines = lib.splitString "\n" (builtins.readFile file);
  isName = line: builtins.match "\\[.*]" line != null;
  # From the name of the section to that of the next.
  section =
    (lib.foldl'
      (
        { inside, taken }:
        line:
        if isName line then
          {
            inherit taken;
            inside = line == "[Service]";
          }
        else
          {
            inherit inside;
            taken = if inside then taken ++ [ line ] else taken;
          }
      )
      {
        inside = false;
        taken = [ ];
      }
      lines
    ).taken;
  pair = line: builtins.match "([A-Za-z]+)=(.*)" line;
  pairs = lib.filter (found: found != null) (map pair section);
  values = lib.groupBy builtins.head pairs;
in
# A key that stands there several times has several values.
lib.mapAttrs (
  _: found:
  let
    given = map (entry: builtins.elemAt entry 1) found;
  in
  if builtins.length given == 1 then builtins.head given else given
) values
