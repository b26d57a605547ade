# What changing Danube needs: Rust with its tools, and the programs that its tests start.
{ pkgs, packages, ... }:
{
  default = packages.craneLib.devShell {
    packages = with pkgs; [
      bubblewrap
      cargo-deny
      gitMinimal
      iproute2
      openssl
      python3
      sqlite
      util-linux
    ];
  };
}
