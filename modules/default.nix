# services.exo: what `services.exo.enable = true` turns on. One folder per module, one file per concern.
{
  imports = [
    ./service
    ./networking
    ./hardware
    ./k3s
  ];
}
