# Two machines joined by a bond of two links each, of which one is cut.
# Not in containers: a bond needs links and a kernel of its own
{ machines, ... }:
let
  bonded = number: configuration: {
    imports = [ configuration ];
    networking.useNetworkd = true;
    networking.useDHCP = false;
    services.exo.networking.bond = {
      enable = true;
      name = "bond0";
      interfaces = [
        "eth1"
        "eth2"
      ];
      mode = "active-backup";
      addresses = [ "10.7.0.${toString number}/24" ];
    };
  };
  plain = machines ./bond-failover.toml;
in
{
  atlas = bonded 1 plain.atlas;
  boron = bonded 2 plain.boron;
}
