# services.danube: a server on this machine. options.md has every option.
{
  imports = [
    ./settings.nix
    ./credentials.nix
    ./account.nix
    ./service.nix
  ];
}
