# One machine with nothing but `services.exo.enable = true` and the guide model placed.
{ self }:
{
  machine = {
    imports = [ self.nixosModules.default ];
    services.exo.enable = true;
    virtualisation = {
      cores = 2;
      memorySize = 2048;
    };
  };
}
