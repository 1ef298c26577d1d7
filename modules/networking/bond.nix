# A bond by systemd-networkd or by NixOS's scripts, never by both.
{ config, lib, ... }:
let
  inherit (lib)
    mkIf
    mkMerge
    mkDefault
    genAttrs
    listToAttrs
    nameValuePair
    optionalAttrs
    ;
  cfg = config.services.exo;
  inherit (cfg.networking) bond;
  backend =
    if bond.backend != "auto" then
      bond.backend
    else if config.networking.useNetworkd then
      "networkd"
    else
      "scripted";
  given = lib.filterAttrs (_: value: value != null);
  firstAddress = lib.head (lib.splitString "/" (lib.head bond.addresses));

  networkd = {
    systemd.network = {
      enable = true;
      netdevs."30-${bond.name}" = {
        netdevConfig = {
          Name = bond.name;
          Kind = "bond";
        }
        // optionalAttrs (bond.mtu != null) { MTUBytes = toString bond.mtu; };
        bondConfig = given {
          Mode = bond.mode;
          MIIMonitorSec = "${toString bond.miimon}ms";
          MinLinks = bond.minLinks;
          LACPTransmitRate = bond.lacpRate;
          TransmitHashPolicy = bond.transmitHashPolicy;
        };
      };
      networks = listToAttrs (
        map (
          member:
          nameValuePair "30-${member}" {
            matchConfig.Name = member;
            networkConfig = {
              Bond = bond.name;
            }
            // optionalAttrs (bond.primary == member) { PrimarySlave = true; };
            linkConfig = {
              RequiredForOnline = "enslaved";
            }
            // optionalAttrs (bond.mtu != null) { MTUBytes = toString bond.mtu; };
          }
        ) bond.interfaces
        ++ [
          (nameValuePair "40-${bond.name}" {
            matchConfig.Name = bond.name;
            address = bond.addresses;
            networkConfig.DHCP = if bond.dhcp then "yes" else "no";
            # One leg is enough to begin with.
            linkConfig.RequiredForOnline = "degraded-carrier:routable";
          })
        ]
      );
    };
  };

  address =
    text:
    let
      parts = lib.splitString "/" text;
    in
    {
      address = lib.head parts;
      prefixLength = lib.toInt (lib.elemAt parts 1);
    };
  addresses = lib.partition (lib.hasInfix ":") bond.addresses;

  scripted = {
    networking.bonds.${bond.name} = {
      inherit (bond) interfaces;
      driverOptions = given {
        inherit (bond) mode;
        miimon = toString bond.miimon;
        min_links = toString bond.minLinks;
        lacp_rate = bond.lacpRate;
        xmit_hash_policy = bond.transmitHashPolicy;
        inherit (bond) primary;
      };
    };
    networking.interfaces = {
      ${bond.name} = {
        useDHCP = bond.dhcp;
        ipv4.addresses = map address addresses.wrong;
        ipv6.addresses = map address addresses.right;
      }
      // optionalAttrs (bond.mtu != null) { inherit (bond) mtu; };
    }
    // optionalAttrs (bond.mtu != null) (
      genAttrs bond.interfaces (_: {
        inherit (bond) mtu;
      })
    );
  };
in
{
  config = mkIf (cfg.enable && bond.enable) (mkMerge [
    {
      services.exo.networking = {
        bondInterface = mkDefault bond.name;
        advertiseAddress = mkIf (bond.addresses != [ ]) (mkDefault firstAddress);
      };
    }
    (mkIf (backend == "networkd") networkd)
    (mkIf (backend == "scripted") scripted)
  ]);
}
