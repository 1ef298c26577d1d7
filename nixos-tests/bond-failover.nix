# Two machines joined by a bond of two links each, of which one is cut.
# Not in containers: a bond needs links and a kernel of its own
{
  machines,
  lib,
  ...
}:
let
  bonded = number: configuration: {
    imports = [ configuration ];
    virtualisation.vlans = [
      1
      2
    ];
    networking.useNetworkd = true;
    networking.useDHCP = false;
    services.exo.settings.networking.listenAddresses = [ "10.7.0.${toString number}" ];
    systemd.network = {
      netdevs."10-bond0" = {
        netdevConfig = {
          Name = "bond0";
          Kind = "bond";
        };
        bondConfig = {
          Mode = "active-backup";
          MIIMonitorSec = "0.1s";
        };
      };
      networks."20-members" = {
        matchConfig.Name = "eth1 eth2";
        networkConfig.Bond = "bond0";
        linkConfig.RequiredForOnline = "enslaved";
      };
      networks."30-bond0" = {
        matchConfig.Name = "bond0";
        address = [ "10.7.0.${toString number}/24" ];
        linkConfig.RequiredForOnline = "degraded-carrier:routable";
      };
    };
    networking.firewall.trustedInterfaces = [ "bond0" ];
  };
  plain = machines ./bond-failover.toml;
in
{
  atlas = bonded 1 plain.atlas;
  boron = bonded 2 plain.boron;
}
