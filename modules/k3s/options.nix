# What Kubernetes learns of exo.
{ config, lib, ... }:
let
  inherit (lib) mkOption literalExpression types;
in
{
  options.services.exo.k3s = {
    integration = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether this machine's k3s server is told of exo. On servers only: they write manifests.";
    };

    serviceDiscovery = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether pods find the API under a name: a Service without selector, and an EndpointSlice for each node.";
    };

    namespace = mkOption {
      type = types.strMatching "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?";
      default = "exo";
      example = "models";
      description = "Namespace of everything that is made here.";
    };

    serviceAccount = mkOption {
      type = types.strMatching "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?";
      default = "exo";
      example = "models";
      description = "Account for pods that use exo. It has no rights in Kubernetes.";
    };

    serviceType = mkOption {
      type = types.enum [
        "ClusterIP"
        "NodePort"
        "LoadBalancer"
      ];
      default = "ClusterIP";
      example = "LoadBalancer";
      description = "Who reaches the Service: pods, everybody who reaches a node, everybody who reaches the load balancer.";
    };

    nodeAddress = mkOption {
      type = types.nullOr types.str;
      default = config.services.exo.networking.advertiseAddress or null;
      defaultText = literalExpression "services.exo.networking.advertiseAddress";
      example = "10.0.0.2";
      description = "Address of this machine under which pods reach its API.";
    };

    nodes = mkOption {
      type = types.attrsOf types.str;
      default = { };
      example = {
        attic = "10.0.0.2";
        cellar = "10.0.0.3";
      };
      description = "Addresses of the APIs of other machines, by the names of their nodes in Kubernetes.";
    };

    cniInterfaces = mkOption {
      type = types.listOf types.str;
      default = [
        "cni0"
        "flannel.1"
      ];
      example = [ "cilium_host" ];
      description = "Interfaces on which pods come: the API's port is opened there.";
    };

    networkPolicy = {
      enable = mkOption {
        type = types.bool;
        default = true;
        example = false;
        description = ''
          Whether pods in the namespace are confined: nothing connects to them, and they reach nothing but the API, DNS
          and `networkPolicy.allowedCIDRs`.
        '';
      };

      allowedCIDRs = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "10.0.0.0/24" ];
        description = "Networks that pods in the namespace reach too.";
      };
    };

    serviceMonitor = {
      enable = mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = "Whether the Prometheus operator, which has to be there, asks the APIs for `/metrics`.";
      };

      tokenSecret = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "exo-metrics-key";
        description = "Secret in the namespace whose key `token` the APIs accept, where they ask for keys.";
      };
    };

    manifests = mkOption {
      type = types.attrsOf types.attrs;
      readOnly = true;
      description = "What is handed to `services.k3s.manifests`, for other ways of applying it.";
    };
  };
}
