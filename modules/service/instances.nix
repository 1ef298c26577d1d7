# Wanted instances: one file, proved when the system is built, and a unit that makes it true.
{
  config,
  pkgs,
  lib,
  ...
}:
let
  inherit (lib)
    mkIf
    optional
    optionalAttrs
    filterAttrs
    ;
  cfg = config.services.exo;
  inherit (pkgs.stdenv) buildPlatform hostPlatform;
  exo = lib.getExe' cfg.package "exo";

  wanted = {
    instances = lib.mapAttrs (_: filterAttrs (_: value: value != null)) cfg.instances;
  };
  # What the API asks for, and what it is known by.
  credentials = filterAttrs (_: own: own.file != null) {
    api-keys = {
      file = cfg.api.authTokenFile;
      variable = "EXO_API_KEY_FILE";
    };
    tls-certificate = {
      file =
        if cfg.api.tls.certificate != null then
          cfg.api.tls.certificate
        else
          cfg.settings.api.tls.certificate or null;
      variable = "EXO_API_TLS_CERTIFICATE";
    };
  };
  unchecked = (pkgs.formats.toml { }).generate "exo-instances.toml" wanted;
  checked = pkgs.runCommand "exo-instances.toml" { } ''
    ${lib.optionalString (
      cfg.checkConfig && buildPlatform.canExecute hostPlatform
    ) "${exo} apply ${unchecked} --check"}
    cp ${unchecked} $out
  '';
  arguments = [
    "apply"
    "${checked}"
    "--if-leader"
  ]
  ++ optional cfg.pruneInstances "--prune";
in
{
  config = mkIf (cfg.enable && cfg.instances != { }) {
    systemd.services.exo-apply = {
      description = "exo: places the instances that services.exo.instances asks for";
      documentation = [ "man:exo-apply(1)" ];
      partOf = [ "exo.target" ];
      wantedBy = [ "exo.target" ];
      after = [ "exo-api.service" ];
      requires = [ "exo-api.service" ];
      # What does not fit yet may fit once another machine is there.
      startLimitIntervalSec = 0;
      environment.EXO_CONFIG = "${cfg.security.configDir}/exo.toml";
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${exo} ${lib.escapeShellArgs arguments}";
        Restart = "on-failure";
        RestartSec = "5s";
        RestartSteps = 6;
        RestartMaxDelaySec = "5min";
        TimeoutStartSec = "5min";
        Slice = "exo.slice";
        DynamicUser = true;
        CapabilityBoundingSet = "";
        LockPersonality = true;
        MemoryDenyWriteExecute = true;
        PrivateDevices = true;
        ProtectClock = true;
        ProtectControlGroups = true;
        ProtectHome = true;
        ProtectHostname = true;
        ProtectKernelLogs = true;
        ProtectKernelModules = true;
        ProtectKernelTunables = true;
        ProtectProc = "invisible";
        RestrictAddressFamilies = [
          "AF_INET"
          "AF_INET6"
        ];
        RestrictNamespaces = true;
        RestrictRealtime = true;
        SystemCallArchitectures = "native";
        SystemCallFilter = "@system-service";
      }
      // optionalAttrs (credentials != { }) {
        LoadCredential = lib.mapAttrsToList (name: own: "${name}:${own.file}") credentials;
        Environment = lib.mapAttrsToList (name: own: "${own.variable}=%d/${name}") credentials;
      };
    };
  };
}
