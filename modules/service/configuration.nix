# From options to exo.toml, which is proved when the system is built.
{
  config,
  pkgs,
  lib,
  ...
}:
let
  inherit (lib)
    mkDefault
    mkIf
    mapAttrs'
    nameValuePair
    filterAttrs
    ;
  cfg = config.services.exo;
  generate = (pkgs.formats.toml { }).generate;
  inherit (pkgs.stdenv) buildPlatform hostPlatform;
  canCheck = cfg.checkConfig && buildPlatform.canExecute hostPlatform;

  # Other programs of the same package would say the same of the same file; the role's own says it with its name.
  proved =
    name: program: settings:
    let
      unchecked = generate name settings;
    in
    if canCheck then
      pkgs.runCommand name { } ''
        ${lib.getExe' cfg.package program} --config ${unchecked} --check-config
        cp ${unchecked} $out
      ''
    else
      unchecked;

  ofRole =
    role: own:
    nameValuePair (lib.removePrefix "/etc/" "${cfg.security.configDir}/exo-${role}.toml") {
      source = proved "exo-${role}.toml" "exo-${role}" (lib.recursiveUpdate cfg.settings own.settings);
    };
  rolesOfTheirOwn = filterAttrs (_: own: own.enable && own.settings != { }) cfg.roles;

  modelFiles = pkgs.linkFarm "exo-models" (
    lib.mapAttrsToList (name: path: { inherit name path; }) cfg.models.files
  );
in
{
  config = mkIf cfg.enable {
    services.exo.settings = {
      mode = mkDefault cfg.mode;
      dataDir = mkDefault cfg.security.dataDir;
      api = {
        port = mkDefault cfg.apiPort;
        bind = mkDefault cfg.api.bind;
        keyFile = mkIf (cfg.api.authTokenFile != null) (
          mkDefault "/run/credentials/exo-api.service/api-keys"
        );
        tls = mkIf (cfg.api.tls.certificate != null || cfg.api.tls.key != null) {
          certificate = mkDefault "/run/credentials/exo-api.service/tls-certificate";
          key = mkDefault "/run/credentials/exo-api.service/tls-key";
        };
      };
      models = {
        dirs = mkDefault (
          [ "${cfg.package}/share/exo/models" ]
          ++ lib.optional (cfg.models.files != { }) "${modelFiles}"
          ++ cfg.models.dirs
        );
        place = mkIf (cfg.models.preload != [ ]) (mkDefault cfg.models.preload);
      };
      logging = {
        level = mkDefault cfg.logging.level;
        format = mkDefault cfg.logging.format;
      };
    };

    environment.etc = {
      ${lib.removePrefix "/etc/" "${cfg.security.configDir}/exo.toml"}.source =
        proved "exo.toml" "exo-master"
          cfg.settings;
    }
    // mapAttrs' ofRole rolesOfTheirOwn;
    environment.systemPackages = [ cfg.package ];
  };
}
