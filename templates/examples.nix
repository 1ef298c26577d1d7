# The machines of the templates as systems of this flake, so that every check evaluates what people start from.
{
  self,
  nixpkgs,
  lib,
}:
let
  # What a machine's own hardware-configuration.nix would say.
  hardware = {
    boot.loader.grub.enable = false;
    fileSystems."/" = {
      device = "none";
      fsType = "tmpfs";
    };
    system.stateVersion = "26.05";
  };
  example =
    configuration:
    nixpkgs.lib.nixosSystem {
      system = "x86_64-linux";
      modules = [
        self.nixosModules.default
        configuration
        hardware
      ];
    };
in
lib.mapAttrs (_: example) {
  example-single = ./single/configuration.nix;
  example-attic = ./cluster/attic.nix;
  example-boron = ./cluster/boron.nix;
  example-cellar = ./cluster/cellar.nix;
  example-k3s = ./k3s/configuration.nix;
}
