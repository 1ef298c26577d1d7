# Several links as one: the words are the kernel's.
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.services.exo.networking.bond = {
    enable = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether this module makes a bond. One that is made elsewhere is named with `networking.bondInterface`.";
    };

    name = mkOption {
      type = types.str;
      default = "bond-exo";
      example = "bond0";
      description = "Name of the interface.";
    };

    interfaces = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [
        "enp5s0f0"
        "enp5s0f1"
      ];
      description = "Its members.";
    };

    mode = mkOption {
      type = types.enum [
        "balance-rr"
        "active-backup"
        "balance-xor"
        "broadcast"
        "802.3ad"
        "balance-tlb"
        "balance-alb"
      ];
      default = "active-backup";
      example = "802.3ad";
      description = ''
        How the members are used. `active-backup` needs nothing of the switch; `802.3ad` (LACP) uses all of them, and needs
        a switch that does too.
      '';
    };

    lacpRate = mkOption {
      type = types.nullOr (
        types.enum [
          "slow"
          "fast"
        ]
      );
      default = null;
      example = "fast";
      description = "How often members are asked for in mode `802.3ad`: every 30 s or every second.";
    };

    transmitHashPolicy = mkOption {
      type = types.nullOr (
        types.enum [
          "layer2"
          "layer2+3"
          "layer3+4"
          "encap2+3"
          "encap3+4"
        ]
      );
      default = null;
      example = "layer3+4";
      description = ''
        Which member a packet takes, in the modes `balance-xor`, `802.3ad` and `balance-tlb`. `layer3+4` spreads the links
        between two machines.
      '';
    };

    primary = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "enp5s0f0";
      description = "The member that is used while it works, in the modes `active-backup`, `balance-tlb` and `balance-alb`.";
    };

    miimon = mkOption {
      type = types.ints.positive;
      default = 100;
      example = 50;
      description = "Milliseconds between two looks whether the members are up.";
    };

    mtu = mkOption {
      type = types.nullOr (types.ints.between 576 65535);
      default = null;
      example = 9000;
      description = "Largest packet. All machines and the switch between them need the same.";
    };

    minLinks = mkOption {
      type = types.ints.unsigned;
      default = 0;
      example = 1;
      description = "With fewer working members the bond is down.";
    };

    addresses = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "10.0.0.2/24" ];
      description = "Its own addresses, with the length of their prefix.";
    };

    dhcp = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether it gets an address by DHCP.";
    };

    backend = mkOption {
      type = types.enum [
        "auto"
        "networkd"
        "scripted"
      ];
      default = "auto";
      example = "networkd";
      description = ''
        What makes it: systemd-networkd, or NixOS's scripts (`networking.bonds`). `auto` follows
        `networking.useNetworkd`.
      '';
    };
  };
}
