# The package of the flake, where a configuration names none. The key makes several imports one.
{ self }:
{
  key = "exo#package";
  imports = [
    (
      { pkgs, lib, ... }:
      {
        key = "exo#package-default";
        config.services.exo.package =
          lib.mkDefault
            self.packages.${pkgs.stdenv.hostPlatform.system}.exo-complete;
      }
    )
  ];
}
