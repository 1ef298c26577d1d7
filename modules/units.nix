# The units come from the package, as on any other distribution; here is only what differs on this machine.
{ config, lib, ... }:
let
  cfg = config.services.exo;
  inherit (cfg.settings) mode;
  roles = lib.optional (mode != "worker") "master" ++ lib.optional (mode != "master") "worker" ++ [ "api" ];
  defaultDataDir = "/var/lib/exo";

  unit = role: {
    name = "exo-${role}";
    value = {
      wantedBy = [ "exo.target" ];
      # A running answer is worth more than the newest binary a second earlier: restarted, not stopped and started.
      stopIfChanged = false;
      restartTriggers = [ config.environment.etc."exo/exo.toml".source ];
      serviceConfig = {
        User = cfg.security.user;
        Group = cfg.security.group;
      }
      // lib.optionalAttrs (cfg.security.dataDir != defaultDataDir) {
        ReadWritePaths = [ cfg.security.dataDir ];
      };
    };
  };
in
{
  config = lib.mkIf cfg.enable {
    systemd.packages = [ cfg.package ];
    systemd.targets.exo.wantedBy = [ "multi-user.target" ];
    systemd.services = lib.listToAttrs (map unit roles);
    systemd.tmpfiles.settings = lib.mkIf (cfg.security.dataDir != defaultDataDir) {
      exo.${cfg.security.dataDir}.d = {
        inherit (cfg.security) user group;
        mode = "0700";
      };
    };
  };
}
