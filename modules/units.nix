# The units come from the package, as on any other distribution; here is only what differs on this machine.
{ config, lib, ... }:
let
  cfg = config.services.exo;
  inherit (cfg.settings) mode dataDir;
  defaultDataDir = "/var/lib/exo";
  plays = {
    master = mode != "worker";
    worker = mode != "master";
    api = true;
  };

  unit =
    role: here:
    lib.nameValuePair "exo-${role}" (
      if here then
        {
          wantedBy = [ "exo.target" ];
          # A running answer is worth more than the newest binary a second earlier: restarted, not stopped and started.
          stopIfChanged = false;
          restartTriggers = [ config.environment.etc."exo/exo.toml".source ];
          serviceConfig = {
            User = cfg.security.user;
            Group = cfg.security.group;
          }
          // lib.optionalAttrs (dataDir != defaultDataDir) {
            ReadWritePaths = [ dataDir ];
          }
          // lib.optionalAttrs (cfg.security.joinTokenFile != null) {
            LoadCredential = [ "join-token:${cfg.security.joinTokenFile}" ];
          };
        }
      else
        # Masked: exo-api wants the master, which must not start where it has no place.
        { enable = false; }
    );
in
{
  config = lib.mkIf cfg.enable {
    systemd.packages = [ cfg.package ];
    systemd.targets.exo.wantedBy = [ "multi-user.target" ];
    systemd.services = lib.mapAttrs' unit plays;
    systemd.tmpfiles.settings = lib.mkIf (dataDir != defaultDataDir) {
      exo.${dataDir}.d = {
        inherit (cfg.security) user group;
        mode = "0700";
      };
    };
  };
}
