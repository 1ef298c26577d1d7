# Where the services run on the network, and what they wait for.
{ config, lib, ... }:
let
  inherit (lib) mkIf optional optionalAttrs;
  cfg = config.services.exo;
  inherit (cfg.networking) bondInterface netns;
  device = "sys-subsystem-net-devices-${lib.strings.escapeC [ "-" ] (toString bondInterface)}.device";
  devices = optional (bondInterface != null) device;
  unit = _role: {
    wants = devices;
    after = devices;
    serviceConfig = optionalAttrs (netns != null) {
      NetworkNamespacePath = "/run/netns/${netns}";
    };
  };
  here = lib.filter (role: cfg.roles.${role}.enable) (lib.attrNames cfg.roles);
in
{
  config = mkIf (cfg.enable && (bondInterface != null || netns != null)) {
    systemd.services = lib.listToAttrs (map (role: lib.nameValuePair "exo-${role}" (unit role)) here);
    services.exo.networking.interfaces = optional (bondInterface != null) bondInterface;
  };
}
