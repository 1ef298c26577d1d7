# The units come from the package, as on any other distribution; here is only what differs on this machine.
{ config, lib, ... }:
let
  inherit (lib)
    mkIf
    mkDefault
    mapAttrs'
    nameValuePair
    optional
    optionalAttrs
    ;
  cfg = config.services.exo;
  inherit (cfg.settings) dataDir;
  etc = path: config.environment.etc.${lib.removePrefix "/etc/" path}.source;
  isOfUnit = {
    dataDir = dataDir == "/var/lib/exo";
    configDir = cfg.security.configDir == "/etc/exo";
  };

  configFile =
    role: own:
    if own.settings == { } then
      "${cfg.security.configDir}/exo.toml"
    else
      "${cfg.security.configDir}/exo-${role}.toml";

  hasTls = role: role == "api" && cfg.api.tls.certificate != null && cfg.api.tls.key != null;
  credentials =
    role:
    optional (cfg.security.joinTokenFile != null) "join-token:${cfg.security.joinTokenFile}"
    ++ optional (role == "api" && cfg.api.authTokenFile != null) "api-keys:${cfg.api.authTokenFile}"
    ++ lib.optionals (hasTls role) [
      "tls-certificate:${cfg.api.tls.certificate}"
      "tls-key:${cfg.api.tls.key}"
    ]
    ++ lib.mapAttrsToList (name: file: "${name}:${file}") cfg.credentials;

  unit =
    role: own:
    nameValuePair "exo-${role}" (
      if own.enable then
        {
          wantedBy = [ "exo.target" ];
          # A running answer is worth more than the newest binary a second earlier: restarted, not stopped and started.
          stopIfChanged = false;
          restartTriggers = [ (etc (configFile role own)) ];
          unitConfig = optionalAttrs (!isOfUnit.dataDir) {
            RequiresMountsFor = [ dataDir ];
          };
          environment = {
            EXO_CONFIG = configFile role own;
          }
          // own.environment;
          serviceConfig = {
            User = cfg.security.user;
            Group = cfg.security.group;
            Slice = "exo.slice";
            RestartSec = mkDefault cfg.restart.sec;
            RestartSteps = mkDefault cfg.restart.steps;
            RestartMaxDelaySec = mkDefault cfg.restart.maxDelay;
            WatchdogSec = mkDefault cfg.watchdog.sec;
          }
          // optionalAttrs (own.extraArgs != [ ]) {
            # The empty one takes back the unit's own.
            ExecStart = [
              ""
              "${lib.getExe' cfg.package "exo-${role}"} ${lib.escapeShellArgs own.extraArgs}"
            ];
          }
          // optionalAttrs (!isOfUnit.dataDir) { ReadWritePaths = [ dataDir ]; }
          // optionalAttrs (credentials role != [ ]) { LoadCredential = credentials role; }
          # A renewed certificate comes with a reload, and open answers go on.
          // optionalAttrs (hasTls role) { RefreshOnReload = "credentials"; }
          // optionalAttrs (cfg.environmentFiles != [ ]) { EnvironmentFile = cfg.environmentFiles; }
          // optionalAttrs (!cfg.security.hardening) (import ./unconfined.nix);
        }
      else
        # Masked: exo-api wants the master, which must not start where it has no place.
        { enable = false; }
    );

  limits = lib.filterAttrs (_: value: value != null) {
    MemoryHigh = cfg.resources.memoryHigh;
    MemoryMax = cfg.resources.memoryMax;
    CPUWeight = cfg.resources.cpuWeight;
    CPUQuota = cfg.resources.cpuQuota;
    IOWeight = cfg.resources.ioWeight;
    TasksMax = cfg.resources.tasksMax;
  };
in
{
  config = mkIf cfg.enable {
    systemd.packages = [ cfg.package ];
    systemd.targets.exo.wantedBy = [ "multi-user.target" ];
    systemd.slices.exo = {
      description = "exo";
      sliceConfig = limits;
    };
    systemd.services = mapAttrs' unit cfg.roles;
    systemd.tmpfiles.settings = mkIf (!isOfUnit.dataDir) {
      exo.${dataDir}.d = {
        inherit (cfg.security) user group;
        mode = "0700";
      };
    };
  };
}
