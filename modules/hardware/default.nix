# What computes here: accelerators, their devices and drivers, memory.
{
  imports = [
    ../service
    ./options.nix
    ./worker.nix
    ./assertions.nix
  ];
}
