# The programs, built with somebody's own nixpkgs.
{ final, crane }:
{
  inherit
    (import ./. {
      pkgs = final;
      inherit crane;
    })
    danube
    danube-static
    danube-shim
    danube-sdk
    ;
}
