# From options to one exo.toml, which is checked when the system is built.
{
  config,
  pkgs,
  lib,
  ...
}:
let
  cfg = config.services.exo;
  unchecked = (pkgs.formats.toml { }).generate "exo.toml" cfg.settings;
  inherit (pkgs.stdenv) buildPlatform hostPlatform;
  checked = pkgs.runCommand "exo.toml" { } ''
    ${lib.optionalString (buildPlatform.canExecute hostPlatform) "${lib.getExe' cfg.package "exo-master"} --config ${unchecked} --check-config"}
    cp ${unchecked} $out
  '';
in
{
  config = lib.mkIf cfg.enable {
    services.exo.settings = {
      mode = lib.mkDefault cfg.mode;
      dataDir = lib.mkDefault cfg.security.dataDir;
      api.port = lib.mkDefault cfg.apiPort;
      networking.discoveryPort = lib.mkDefault cfg.networking.discoveryPort;
      models.dirs = lib.mkDefault [ "${cfg.package}/share/exo/models" ];
    };

    environment.etc."exo/exo.toml".source = checked;
    environment.systemPackages = [ cfg.package ];
  };
}
