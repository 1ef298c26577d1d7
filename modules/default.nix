# services.exo: what `services.exo.enable = true` turns on. One file per concern.
{ self }:
{
  imports = [
    (import ./options.nix { inherit self; })
    ./configuration.nix
    ./units.nix
    ./user.nix
    ./firewall.nix
    ./assertions.nix
  ];
}
