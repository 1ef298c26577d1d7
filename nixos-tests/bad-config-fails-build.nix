# A configuration with a wrong key: its system cannot be built, and the log of the attempt lies on this machine.
# Only on NixOS: what fails is the building of a NixOS system
{
  self,
  pkgs,
  lib,
  ...
}:
let
  wrong = import (pkgs.path + "/nixos/lib/eval-config.nix") {
    inherit (pkgs.stdenv.hostPlatform) system;
    modules = [
      self.nixosModules.default
      {
        services.exo.enable = true;
        services.exo.settings.api.prot = 8080;
        system.stateVersion = lib.trivial.release;
      }
    ];
  };
in
{
  machine.environment.etc."failed-build".source =
    pkgs.testers.testBuildFailure
      wrong.config.environment.etc."exo/exo.toml".source;
}
