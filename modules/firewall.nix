# The ports between nodes, if asked for.
{ config, lib, ... }:
let
  cfg = config.services.exo;
  networking = cfg.settings.networking or { };
  tensorPorts =
    networking.tensorPorts or [
      52420
      52499
    ];
in
{
  config = lib.mkIf (cfg.enable && cfg.networking.openFirewall) {
    networking.firewall = {
      allowedUDPPorts = [ networking.discoveryPort ];
      allowedTCPPorts = [
        (networking.clusterPort or 52414)
        (networking.workerPort or 52417)
        (networking.apiPort or 52418)
      ];
      allowedTCPPortRanges = [
        {
          from = lib.elemAt tensorPorts 0;
          to = lib.elemAt tensorPorts 1;
        }
      ];
    };
  };
}
