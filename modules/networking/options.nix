# Ports, addresses and interfaces.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  port =
    default: description:
    mkOption {
      type = types.port;
      inherit default description;
      example = default + 1000;
    };
in
{
  options.services.exo.networking = {
    discoveryPort = port 52416 "UDP port on which nodes find each other by multicast. Key `networking.discoveryPort`.";
    clusterPort = port 52414 "TCP port of the master's bus. Key `networking.clusterPort`.";
    workerPort = port 52417 "TCP port of the worker's bus. Key `networking.workerPort`.";
    apiBusPort = port 52418 "TCP port of the API's bus. Key `networking.apiPort`.";

    tensorPorts = mkOption {
      type = types.submodule {
        options = {
          from = port 52420 "First port.";
          to = port 52499 "Last port.";
        };
      };
      default = { };
      example = {
        from = 53000;
        to = 53063;
      };
      description = "TCP ports for the links between runners. Key `networking.tensorPorts`.";
    };

    multicast = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether nodes find each other by multicast; otherwise `peers` names them. Key `networking.multicast`.";
    };

    peers = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "10.0.0.2:52414" ];
      description = "Buses of other machines, where multicast does not reach. Key `networking.peers`.";
    };

    listenAddresses = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "10.0.0.2" ];
      description = "Addresses on which bus and runners listen; all, if none is named. Key `networking.listenAddresses`.";
    };

    advertiseAddress = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "10.0.0.2";
      description = ''
        Address that other nodes are told to use; every address of this machine, if null. A bond that is made here with a
        static address sets it. Key `networking.advertiseAddress`.
      '';
    };

    interfaces = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "enp5s0" ];
      description = "Interfaces between the nodes: `openFirewall` opens ports on these only. A bond is one of them.";
    };

    bondInterface = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "bond0";
      description = ''
        The bond between the nodes: one that exists already, or the one that `bond` makes, which sets this. The services
        wait until it is there.
      '';
    };

    openFirewall = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = ''
        Opens the ports that nodes use between each other (discovery, bus, links between runners), on `interfaces`
        if any are named. The API's port is not among them: it listens on the loopback interface unless `api.bind` says
        otherwise.
      '';
    };

    allowedCIDRs = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "10.0.0.0/24" ];
      description = "Networks that `openFirewall` lets in; everybody, if none is named.";
    };

    netns = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "cluster";
      description = ''
        Network namespace that the services run in, as `ip netns` names it. Something else has to make it, before
        `exo.target`; the firewall of this machine does not reach into it.
      '';
    };
  };
}
