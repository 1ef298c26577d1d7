# The machine, as exo shall see it.
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.services.exo.hardware = {
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
