# What computes here: accelerators, their devices and drivers, memory.
{
  imports = [
    ../service
    ./options.nix
    ./detection.nix
    ./worker.nix
    ./assertions.nix
  ];
}
