# Memory of one machine read by another.
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.services.exo.networking = {
    rdmaEnabled = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = ''
        Whether this machine is prepared for RDMA: kernel modules, the right to lock memory, devices. Links between runners
        use it where the package can (`package.passthru.features`) and go over TCP otherwise.
      '';
    };

    rdma = {
      mode = mkOption {
        type = types.enum [
          "auto"
          "verbs"
          "soft-roce"
          "off"
        ];
        default = "auto";
        example = "soft-roce";
        description = ''
          `auto`: what the machine has. `verbs`: RDMA or nothing; needs a package that can. `soft-roce`: the kernel's own
          RDMA over any network card, which proves the way and is not faster. `off`: as if `rdmaEnabled` were false.
        '';
      };

      devices = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "mlx5_0" ];
        description = "RDMA devices that the services wait for.";
      };

      softRoce.interfaces = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "enp5s0" ];
        description = "Network cards that get a soft-RoCE device, `rxe-NAME`.";
      };

      memlock = mkOption {
        type = types.str;
        default = "infinity";
        example = "64G";
        description = "Memory that the worker may lock: what RDMA reads and writes stays in place.";
      };

      thunderbolt.enable = mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = "Whether two machines on one Thunderbolt cable are a network (`thunderbolt-net`).";
      };
    };
  };
}
