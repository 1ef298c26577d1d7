# One machine that switches to a generation with another configuration of exo, as an upgrade does.
{
  machines,
  lib,
  pkgs,
  ...
}:
lib.mapAttrs (_name: configuration: {
  imports = [ configuration ];
  specialisation.newer.configuration.services.exo.settings.api.maxConcurrent = 32;
  environment.systemPackages = [
    (pkgs.writeShellScriptBin "upgrade-exo" ''
      /run/current-system/specialisation/newer/bin/switch-to-configuration test
    '')
  ];
}) (machines ./upgrade-keeps-state.toml)
