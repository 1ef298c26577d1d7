# What the worker may use.
{ config, lib, ... }:
let
  inherit (lib) mkIf optionalAttrs concatStringsSep;
  cfg = config.services.exo;
  inherit (cfg) hardware;
in
{
  config = mkIf (cfg.enable && cfg.roles.worker.enable) {
    systemd.services.exo-worker = {
      environment =
        optionalAttrs (hardware.cuda.devices != null) {
          CUDA_VISIBLE_DEVICES = concatStringsSep "," hardware.cuda.devices;
        }
        // optionalAttrs (hardware.rocm.devices != null) {
          ROCR_VISIBLE_DEVICES = concatStringsSep "," hardware.rocm.devices;
        }
        // optionalAttrs (hardware.rocm.overrideGfx != null) {
          HSA_OVERRIDE_GFX_VERSION = hardware.rocm.overrideGfx;
        };
      serviceConfig =
        optionalAttrs (hardware.memoryLimit != null) { MemoryMax = hardware.memoryLimit; }
        // optionalAttrs (hardware.extraDeviceAllow != [ ]) {
          DeviceAllow = hardware.extraDeviceAllow;
        };
    };
  };
}
