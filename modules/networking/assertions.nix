# What cannot work on the network, said before it is tried.
{ config, lib, ... }:
let
  inherit (lib) elem optional concatMapStringsSep;
  cfg = config.services.exo;
  inherit (cfg) networking;
  inherit (networking) bond rdma;
  keys = cfg.settings.networking;
  port = "services.exo.networking";

  firstTensorPort = lib.elemAt keys.tensorPorts 0;
  lastTensorPort = lib.elemAt keys.tensorPorts 1;
  tcpPorts = [
    cfg.settings.api.port
    keys.clusterPort
    keys.workerPort
    keys.apiPort
  ];
  inTensorPorts = lib.filter (port: port >= firstTensorPort && port <= lastTensorPort) tcpPorts;
  discoversNobody = !keys.multicast && keys.peers == [ ];

  madeByScripts = config.networking.bonds ? ${bond.name};
  madeByNetworkd = lib.any (netdev: (netdev.netdevConfig.Name or null) == bond.name) (
    lib.attrValues config.systemd.network.netdevs
  );
  withPrimary = [
    "active-backup"
    "balance-tlb"
    "balance-alb"
  ];
  withHash = [
    "balance-xor"
    "802.3ad"
    "balance-tlb"
  ];
  isCidr = text: builtins.match "[0-9a-fA-F.:]+/[0-9]+" text != null;
  badAddresses = lib.filter (text: !isCidr text) (bond.addresses ++ networking.allowedCIDRs);
  canRdma = elem "rdma" (cfg.package.features or [ ]);
  wantsRdma = networking.rdmaEnabled && rdma.mode != "off";

  bondAssertions = [
    {
      assertion = bond.interfaces != [ ];
      message = "${port}.bond.enable makes a bond without members; name them in ${port}.bond.interfaces, or name a bond that exists in ${port}.bondInterface.";
    }
    {
      assertion = lib.allUnique bond.interfaces;
      message = "${port}.bond.interfaces names a member twice: ${lib.concatStringsSep ", " bond.interfaces}.";
    }
    {
      assertion = !(madeByScripts && madeByNetworkd);
      message = "the bond ${bond.name} is made twice, by networking.bonds and by systemd.network.netdevs; set ${port}.bond.backend to the one that this machine uses, or take the other definition away.";
    }
    {
      assertion = bond.primary == null || elem bond.primary bond.interfaces;
      message = "${port}.bond.primary is ${toString bond.primary}, which is none of its members ${lib.concatStringsSep ", " bond.interfaces}.";
    }
    {
      assertion = bond.primary == null || elem bond.mode withPrimary;
      message = "${port}.bond.primary means nothing in mode ${bond.mode}; it does in ${lib.concatStringsSep ", " withPrimary}.";
    }
    {
      assertion = bond.lacpRate == null || bond.mode == "802.3ad";
      message = "${port}.bond.lacpRate means nothing in mode ${bond.mode}; set ${port}.bond.mode = \"802.3ad\" or leave it out.";
    }
    {
      assertion = bond.transmitHashPolicy == null || elem bond.mode withHash;
      message = "${port}.bond.transmitHashPolicy means nothing in mode ${bond.mode}; it does in ${lib.concatStringsSep ", " withHash}.";
    }
    {
      assertion = bond.minLinks <= lib.length bond.interfaces;
      message = "${port}.bond.minLinks is ${toString bond.minLinks}, more than the bond has members; it would never be up.";
    }
    {
      assertion = networking.bondInterface == bond.name;
      message = "${port}.bondInterface is ${toString networking.bondInterface}, but ${port}.bond makes ${bond.name}; leave bondInterface out.";
    }
  ];
in
{
  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = lib.allUnique (lib.filter (port: port != 0) tcpPorts);
        message = "services.exo: two of the TCP ports are the same: ${
          concatMapStringsSep ", " toString tcpPorts
        } (apiPort, networking.clusterPort, networking.workerPort, networking.apiBusPort).";
      }
      {
        assertion = firstTensorPort <= lastTensorPort;
        message = "${port}.tensorPorts: from ${toString firstTensorPort} to ${toString lastTensorPort} is no range.";
      }
      {
        assertion = inTensorPorts == [ ];
        message = "${port}.tensorPorts: ${
          concatMapStringsSep ", " toString inTensorPorts
        } is in the range and the port of a service too; move one of them.";
      }
      {
        assertion = !(discoversNobody && cfg.settings.mode == "worker");
        message = "services.exo: a worker without a master: ${port}.multicast is off and ${port}.peers is empty; name the master's bus, for example \"10.0.0.2:52414\".";
      }
      {
        assertion = badAddresses == [ ];
        message = "${port}: ${
          concatMapStringsSep ", " (text: "\"${text}\"") badAddresses
        } is no address with the length of its prefix, such as \"10.0.0.2/24\" (bond.addresses, allowedCIDRs).";
      }
      {
        assertion = !(wantsRdma && rdma.mode == "verbs") || canRdma;
        message = "${port}.rdma.mode = \"verbs\", but the runner of ${cfg.package.name} has no RDMA; use \"auto\", which goes over TCP meanwhile, or a package that can.";
      }
      {
        assertion = !(wantsRdma && rdma.mode == "soft-roce") || rdma.softRoce.interfaces != [ ];
        message = "${port}.rdma.mode = \"soft-roce\" without ${port}.rdma.softRoce.interfaces; name the network cards that shall have it.";
      }
      {
        assertion = !(networking.netns != null && networking.openFirewall);
        message = "${port}.openFirewall opens ports of this machine, but the services run in the namespace ${toString networking.netns}; set the rules there, and openFirewall = false.";
      }
    ]
    ++ lib.optionals bond.enable bondAssertions;

    warnings =
      optional (discoversNobody && cfg.settings.mode != "worker")
        "services.exo: ${port}.multicast is off and ${port}.peers is empty: this machine stays alone unless others name it."
      ++
        optional (networking.openFirewall && networking.interfaces == [ ] && networking.allowedCIDRs == [ ])
          "${port}.openFirewall opens exo's ports on all interfaces, to everybody. Links need a certificate of the cluster, but whoever reaches the ports can keep them busy; name ${port}.interfaces or ${port}.allowedCIDRs."
      ++
        optional (wantsRdma && !canRdma && rdma.mode != "verbs")
          "${port}.rdmaEnabled prepares this machine, but the runner of ${cfg.package.name} has no RDMA: links go over TCP.";
  };
}
