# The ports between nodes, if asked for: on all interfaces or on some, to everybody or to some.
{ config, lib, ... }:
let
  inherit (lib)
    mkIf
    genAttrs
    concatMapStrings
    concatMapStringsSep
    hasInfix
    partition
    ;
  cfg = config.services.exo;
  inherit (cfg.networking) interfaces allowedCIDRs;
  keys = cfg.settings.networking;
  range = {
    from = lib.elemAt keys.tensorPorts 0;
    to = lib.elemAt keys.tensorPorts 1;
  };
  tcp = [
    keys.clusterPort
    keys.workerPort
    keys.apiPort
  ];

  ports = {
    allowedUDPPorts = [ keys.discoveryPort ];
    allowedTCPPorts = tcp;
    allowedTCPPortRanges = [ range ];
  };

  families = partition (hasInfix ":") allowedCIDRs;
  onInterfaces = if interfaces == [ ] then [ null ] else interfaces;

  nft =
    let
      from = family: networks: interface: protocol: ports: ''
        ${
          lib.optionalString (interface != null) "iifname \"${interface}\" "
        }${family} saddr { ${lib.concatStringsSep ", " networks} } ${protocol} dport { ${ports} } accept
      '';
      both =
        family: networks: interface:
        "${
          from family networks interface "tcp"
            "${concatMapStringsSep ", " toString tcp}, ${toString range.from}-${toString range.to}"
        }${from family networks interface "udp" (toString keys.discoveryPort)}";
    in
    concatMapStrings (
      interface:
      lib.optionalString (families.wrong != [ ]) (both "ip" families.wrong interface)
      + lib.optionalString (families.right != [ ]) (both "ip6" families.right interface)
    ) onInterfaces;

  iptables =
    let
      rule = command: network: interface: protocol: ports: ''
        ${command} -A nixos-fw ${
          lib.optionalString (interface != null) "-i ${interface} "
        }-s ${network} -p ${protocol} -m multiport --dports ${ports} -j nixos-fw-accept
      '';
      both =
        command: network: interface:
        rule command network interface "tcp"
          "${concatMapStringsSep "," toString tcp},${toString range.from}:${toString range.to}"
        + rule command network interface "udp" (toString keys.discoveryPort);
    in
    concatMapStrings (
      interface:
      concatMapStrings (network: both "iptables" network interface) families.wrong
      + concatMapStrings (network: both "ip6tables" network interface) families.right
    ) onInterfaces;
in
{
  config = mkIf (cfg.enable && cfg.networking.openFirewall) {
    networking.firewall =
      if allowedCIDRs != [ ] then
        {
          extraInputRules = mkIf config.networking.nftables.enable nft;
          extraCommands = mkIf (!config.networking.nftables.enable) iptables;
        }
      else if interfaces != [ ] then
        { interfaces = genAttrs interfaces (_: ports); }
      else
        ports;
  };
}
