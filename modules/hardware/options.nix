# The machine, as exo shall see it.
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.services.exo.hardware = {
    autoDetect = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = ''
        Whether `exo-hardware.service` waits for the accelerators of this machine before the worker starts: systemd hands out
        devices that are there when a service starts, and drivers may come late. Off, the worker starts at once.
      '';
    };

    preferredAccelerator = mkOption {
      type = types.nullOr (
        types.enum [
          "cuda"
          "rocm"
          "mlx"
          "cpu"
        ]
      );
      default = null;
      example = "cpu";
      description = ''
        What shall compute. The best that the package and the machine have, if null. What a package can stands in
        `package.passthru.accelerators`.
      '';
    };

    requireAccelerator = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether the worker does not start without an accelerator, instead of computing on the processors.";
    };

    waitTimeout = mkOption {
      type = types.ints.between 0 3600;
      default = 30;
      example = 120;
      description = "Seconds that an accelerator that is in the machine, but has no driver yet, is waited for.";
    };

    memoryLimit = mkOption {
      type = types.nullOr (types.strMatching "[0-9]+(\\.[0-9]+)?(%|[KMGT])");
      default = "80%";
      example = "48G";
      description = ''
        Most memory for the worker and its runners: a share of the machine's or an amount. The kernel ends what goes beyond
        it, and the worker starts it again. Without a limit, if null.
      '';
    };

    cuda.devices = mkOption {
      type = types.nullOr (types.listOf types.str);
      default = null;
      example = [ "0" ];
      description = "NVIDIA devices that runners see, by index or UUID; all, if null.";
    };

    rocm = {
      devices = mkOption {
        type = types.nullOr (types.listOf types.str);
        default = null;
        example = [ "0" ];
        description = "AMD devices that runners see, by index or UUID; all, if null.";
      };

      overrideGfx = mkOption {
        type = types.nullOr (types.strMatching "[0-9]+\\.[0-9]+\\.[0-9]+");
        default = null;
        example = "11.0.0";
        description = "Version that ROCm takes the devices for, where it does not know theirs (HSA_OVERRIDE_GFX_VERSION).";
      };
    };

    extraDeviceAllow = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "/dev/accel/accel0 rw" ];
      description = "Further devices that the worker may use (systemd.resource-control, DeviceAllow).";
    };
  };
}
