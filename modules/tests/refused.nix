# Values that cannot work, each with the words that tell why and what to do.
{ lib }:
let
  bond = more: {
    services.exo.networking.bond = {
      enable = true;
      name = "bond0";
      interfaces = [
        "a"
        "b"
      ];
    }
    // more;
  };
in
{
  "two ports alike" = {
    options.services.exo.apiPort = 52414;
    says = [ "two of the TCP ports are the same: 52414" ];
  };
  "a port among those of the runners" = {
    options.services.exo.networking.workerPort = 52450;
    says = [ "tensorPorts: 52450 is in the range" ];
  };
  "a range that is none" = {
    options.services.exo.networking.tensorPorts = {
      from = 53000;
      to = 52000;
    };
    says = [ "from 53000 to 52000 is no range" ];
  };
  "an open API without a key" = {
    options.services.exo.api.bind = "0.0.0.0";
    says = [ "there is no services.exo.api.authTokenFile" ];
  };
  "keys in the store" = {
    options.services.exo.api.authTokenFile =
      "${builtins.storeDir}/00000000000000000000000000000000-keys";
    says = [ "api.authTokenFile lies in the Nix store" ];
  };
  "a key file of settings in the store" = {
    options.services.exo.settings.api.keyFile =
      "${builtins.storeDir}/00000000000000000000000000000000-keys";
    says = [ "settings.api.keyFile lies in the Nix store" ];
  };
  "a certificate without its key" = {
    options.services.exo.api.tls.certificate = "/run/secrets/certificate.pem";
    says = [ "api.tls has only one of certificate and key" ];
  };
  "the key of a certificate in the store" = {
    options.services.exo.api.tls = {
      certificate = "${builtins.storeDir}/00000000000000000000000000000000-certificate";
      key = "${builtins.storeDir}/00000000000000000000000000000000-key";
    };
    says = [ "services.exo: api.tls.key lies in the Nix store" ];
  };
  "a join token in the store" = {
    options.services.exo.security.joinTokenFile =
      "${builtins.storeDir}/00000000000000000000000000000000-token";
    says = [ "security.joinTokenFile lies in the Nix store" ];
  };
  "a credential in the store" = {
    options.services.exo.credentials.hub = "${builtins.storeDir}/00000000000000000000000000000000-hub";
    says = [ "credentials.hub lies in the Nix store" ];
  };
  "an environment file in the store" = {
    options.services.exo.environmentFiles = [
      "${builtins.storeDir}/00000000000000000000000000000000-env"
    ];
    says = [ "environmentFiles lies in the Nix store" ];
  };
  "data where the services cannot see it" = {
    options.services.exo.security.dataDir = "/home/exo";
    says = [ "dataDir is /home/exo, which the services cannot see" ];
  };
  "a configuration outside of /etc" = {
    options.services.exo.security.configDir = "/srv/exo";
    says = [ "it has to be below /etc" ];
  };
  "a user that nobody makes" = {
    options.services.exo.security.user = "nobody-made-me";
    says = [ "security.user is nobody-made-me, which nobody makes" ];
  };
  "a group that nobody makes" = {
    options.services.exo.security.group = "nobody-made-me";
    says = [ "security.group is nobody-made-me, which nobody makes" ];
  };
  "a worker that finds no master" = {
    options.services.exo = {
      mode = "worker";
      networking.multicast = false;
    };
    says = [ "a worker without a master" ];
  };
  "an instance with more nodes than it names" = {
    options.services.exo.instances.guide = {
      model = "exo-guide";
      minNodes = 2;
      nodes = [ "attic" ];
    };
    says = [ "guide asks for more nodes" ];
  };
  "pruning what is placed again" = {
    options.services.exo = {
      pruneInstances = true;
      models.preload = [ "exo-guide" ];
    };
    says = [ "put those models into services.exo.instances" ];
  };
  "instances without an API to place them" = {
    options.services.exo = {
      instances.guide.model = "exo-guide";
      roles.api.enable = false;
    };
    says = [ "placed through this machine's API" ];
  };
  "a Prometheus without a key" = {
    options.services.exo = {
      metrics.scrape = true;
      api.authTokenFile = "/run/secrets/keys";
    };
    says = [ "name services.exo.metrics.tokenFile" ];
  };

  "a bond without members" = {
    options = bond { interfaces = [ ]; };
    says = [ "makes a bond without members" ];
  };
  "a member twice" = {
    options = bond {
      interfaces = [
        "a"
        "a"
      ];
    };
    says = [ "names a member twice: a, a" ];
  };
  "a bond that is made twice" = {
    options = lib.recursiveUpdate (bond { backend = "networkd"; }) {
      networking.bonds.bond0 = {
        interfaces = [ "a" ];
        driverOptions.mode = "active-backup";
      };
    };
    says = [ "the bond bond0 is made twice" ];
  };
  "a primary that is no member" = {
    options = bond { primary = "c"; };
    says = [ "primary is c, which is none of its members a, b" ];
  };
  "a primary where there is none" = {
    options = bond {
      mode = "802.3ad";
      primary = "a";
    };
    says = [ "bond.primary means nothing in mode 802.3ad" ];
  };
  "LACP where there is none" = {
    options = bond { lacpRate = "fast"; };
    says = [ "lacpRate means nothing in mode active-backup" ];
  };
  "a hash where there is none" = {
    options = bond { transmitHashPolicy = "layer3+4"; };
    says = [ "transmitHashPolicy means nothing in mode active-backup" ];
  };
  "a bond that is never up" = {
    options = bond { minLinks = 3; };
    says = [ "minLinks is 3, more than the bond has members" ];
  };
  "a bond of two names" = {
    options = lib.recursiveUpdate (bond { }) { services.exo.networking.bondInterface = "bond1"; };
    says = [ "bondInterface is bond1, but services.exo.networking.bond makes bond0" ];
  };
  "an address without a prefix" = {
    options.services.exo.networking.allowedCIDRs = [ "10.0.0.2" ];
    says = [ "\"10.0.0.2\" is no address with the length of its prefix" ];
  };
  "verbs that the runner does not have" = {
    options.services.exo.networking = {
      rdmaEnabled = true;
      rdma.mode = "verbs";
    };
    says = [ "has no RDMA" ];
  };
  "soft-RoCE on nothing" = {
    options.services.exo.networking = {
      rdmaEnabled = true;
      rdma.mode = "soft-roce";
    };
    says = [ "name the network cards that shall have it" ];
  };
  "a firewall of another namespace" = {
    options.services.exo.networking = {
      netns = "cluster";
      openFirewall = true;
      interfaces = [ "eth0" ];
    };
    says = [ "run in the namespace cluster" ];
  };

  "an accelerator that the package does not use" = {
    options.services.exo.hardware.preferredAccelerator = "cuda";
    says = [ "computes on cpu only" ];
  };
  "an accelerator that can never be there" = {
    options.services.exo.hardware.requireAccelerator = true;
    says = [ "its worker would never start" ];
  };

  "k3s without a server" = {
    options.services.exo.k3s = {
      integration = true;
      nodeAddress = "10.0.0.2";
      nodes = { };
      serviceDiscovery = false;
    };
    says = [
      "needs a k3s server"
      "listens on 127.0.0.1 only"
    ];
  };
  "pods that are told of nobody" = {
    options.services = {
      k3s.enable = true;
      exo.k3s.integration = true;
    };
    says = [ "has no API to tell pods of" ];
  };
  "pods that are told of themselves" = {
    options.services = {
      k3s.enable = true;
      exo.k3s = {
        integration = true;
        nodes.attic = "127.0.0.1";
      };
    };
    says = [ "127.0.0.1 is a loopback address" ];
  };
}
