# What waits for accelerators before the worker starts.
{ config, lib, ... }:
let
  inherit (lib) mkIf optional optionals;
  cfg = config.services.exo;
  inherit (cfg) hardware;
  wanted = if hardware.preferredAccelerator == null then "any" else hardware.preferredAccelerator;
  arguments = [
    "hardware"
    "--wait"
    (toString hardware.waitTimeout)
    "--write"
    "/run/exo/hardware.json"
  ]
  ++ optionals hardware.requireAccelerator [
    "--require"
    wanted
  ];
  detects = hardware.autoDetect && cfg.roles.worker.enable;
in
{
  config = mkIf cfg.enable {
    systemd.services.exo-hardware =
      if detects then
        {
          wantedBy = [ "exo.target" ];
          requiredBy = optional hardware.requireAccelerator "exo-worker.service";
          environment.EXO_CONFIG = "${cfg.security.configDir}/exo.toml";
          serviceConfig = {
            User = cfg.security.user;
            Group = cfg.security.group;
            Slice = "exo.slice";
            # Longer than it waits, for drivers that answer nobody.
            TimeoutStartSec = hardware.waitTimeout + 60;
            # The empty one takes back the unit's own.
            ExecStart = [
              ""
              "${lib.getExe' cfg.package "exo"} ${lib.escapeShellArgs arguments}"
            ];
          };
        }
      else
        { enable = false; };
  };
}
