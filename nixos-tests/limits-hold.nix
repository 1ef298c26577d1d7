# One machine.
# Not in containers: their groups have no controllers
{
  machines,
  lib,
  pkgs,
  ...
}:
lib.mapAttrs (_name: configuration: {
  imports = [ configuration ];
  environment.systemPackages = [ pkgs.python3 ];
}) (machines ./limits-hold.toml)
