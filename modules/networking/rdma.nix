# What RDMA needs of the machine; the services use what they find.
{
  config,
  pkgs,
  lib,
  ...
}:
let
  inherit (lib)
    mkIf
    mkMerge
    optionals
    nameValuePair
    ;
  cfg = config.services.exo;
  inherit (cfg.networking) rdmaEnabled rdma;
  wanted = cfg.enable && rdmaEnabled && rdma.mode != "off";
  soft = wanted && rdma.mode == "soft-roce";
  rdmaTool = lib.getExe' pkgs.iproute2 "rdma";

  # systemd knows of devices that udev tells it of; a wait for one ends after its usual 90 s.
  unitOf = device: "sys-class-infiniband-${lib.strings.escapeC [ "-" ] device}.device";
  tell = device: ''
    SUBSYSTEM=="infiniband", KERNEL=="${device}", TAG+="systemd", ENV{SYSTEMD_ALIAS}+="/sys/class/infiniband/${device}"
  '';

  softRoce =
    interface:
    nameValuePair "exo-soft-roce-${interface}" {
      description = "soft-RoCE on ${interface}";
      wantedBy = [ "exo.target" ];
      before = [ "exo-worker.service" ];
      bindsTo = [ "sys-subsystem-net-devices-${lib.strings.escapeC [ "-" ] interface}.device" ];
      after = [
        "sys-subsystem-net-devices-${lib.strings.escapeC [ "-" ] interface}.device"
        "systemd-modules-load.service"
      ];
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        # One that is left from before is as good as a new one.
        ExecStart = "${lib.getExe' pkgs.bash "sh"} -c '${rdmaTool} link show rxe-${interface}/1 || exec ${rdmaTool} link add rxe-${interface} type rxe netdev ${interface}'";
        ExecStop = "${rdmaTool} link delete rxe-${interface}";
      };
    };
in
{
  config = mkMerge [
    (mkIf wanted {
      boot.kernelModules = [
        "ib_uverbs"
        "rdma_ucm"
      ]
      ++ optionals soft [ "rdma_rxe" ];
      services.udev.extraRules = lib.concatMapStrings tell rdma.devices;
      environment.systemPackages = [ pkgs.rdma-core ];
      systemd.services = {
        exo-worker = {
          wants = map unitOf rdma.devices;
          after = map unitOf rdma.devices;
          serviceConfig.LimitMEMLOCK = rdma.memlock;
        };
      }
      // lib.listToAttrs (optionals soft (map softRoce rdma.softRoce.interfaces));
    })
    (mkIf (cfg.enable && rdma.thunderbolt.enable) {
      boot.kernelModules = [ "thunderbolt-net" ];
      services.hardware.bolt.enable = true;
    })
  ];
}
