# The services themselves: what runs, as whom, with which configuration.
{
  imports = [
    ./options.nix
    ./options
    ./configuration.nix
    ./units.nix
    ./instances.nix
    ./user.nix
    ./metrics.nix
    ./assertions.nix
  ];
}
