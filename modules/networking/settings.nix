# From the options of this module to keys of exo.toml.
{ config, lib, ... }:
let
  inherit (lib) mkIf mkDefault;
  cfg = config.services.exo;
  inherit (cfg) networking;
in
{
  config = mkIf cfg.enable {
    services.exo.settings.networking = {
      discoveryPort = mkDefault networking.discoveryPort;
      clusterPort = mkDefault networking.clusterPort;
      workerPort = mkDefault networking.workerPort;
      apiPort = mkDefault networking.apiBusPort;
      tensorPorts = mkDefault [
        networking.tensorPorts.from
        networking.tensorPorts.to
      ];
      multicast = mkDefault networking.multicast;
      peers = mkDefault networking.peers;
      listenAddresses = mkDefault networking.listenAddresses;
      advertiseAddress = mkIf (networking.advertiseAddress != null) (
        mkDefault networking.advertiseAddress
      );
    };
  };
}
