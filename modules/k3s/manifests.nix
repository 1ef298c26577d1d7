# The objects, as k3s applies them.
{ config, lib, ... }:
let
  inherit (lib)
    mkIf
    optional
    optionalAttrs
    genAttrs
    nameValuePair
    mapAttrs'
    mapAttrsToList
    hasInfix
    ;
  cfg = config.services.exo;
  inherit (cfg) k3s;
  inherit (cfg.settings) api;
  inherit (api) port;
  scheme = if api ? tls.certificate then "https" else "http";
  name = "exo";
  labels = {
    "app.kubernetes.io/name" = name;
    "app.kubernetes.io/managed-by" = "nixos";
  };
  addresses =
    k3s.nodes
    // optionalAttrs (k3s.nodeAddress != null) { ${config.networking.hostName} = k3s.nodeAddress; };
  isV6 = hasInfix ":";
  metadata =
    more:
    {
      namespace = k3s.namespace;
      inherit labels;
    }
    // more;
  ports = [
    {
      name = scheme;
      inherit port;
      protocol = "TCP";
    }
  ];

  namespace = {
    apiVersion = "v1";
    kind = "Namespace";
    metadata = {
      name = k3s.namespace;
      inherit labels;
    };
  };
  serviceAccount = {
    apiVersion = "v1";
    kind = "ServiceAccount";
    metadata = metadata { name = k3s.serviceAccount; };
    automountServiceAccountToken = false;
  };
  service = {
    apiVersion = "v1";
    kind = "Service";
    metadata = metadata { inherit name; };
    # No selector: what serves is on the machines, not in pods.
    spec = {
      type = k3s.serviceType;
      ipFamilyPolicy = "PreferDualStack";
      ports = map (entry: entry // { targetPort = port; }) ports;
    };
  };
  endpointSlice = nodeName: address: {
    apiVersion = "discovery.k8s.io/v1";
    kind = "EndpointSlice";
    metadata = metadata {
      name = "${name}-${nodeName}";
      labels = labels // {
        "kubernetes.io/service-name" = name;
        "endpointslice.kubernetes.io/managed-by" = "nixos.exo";
      };
    };
    addressType = if isV6 address then "IPv6" else "IPv4";
    inherit ports;
    endpoints = [
      {
        addresses = [ address ];
        conditions.ready = true;
        inherit nodeName;
      }
    ];
  };
  networkPolicy = {
    apiVersion = "networking.k8s.io/v1";
    kind = "NetworkPolicy";
    metadata = metadata { inherit name; };
    spec = {
      podSelector = { };
      policyTypes = [
        "Ingress"
        "Egress"
      ];
      egress = [
        {
          to = mapAttrsToList (_: address: {
            ipBlock.cidr = "${address}/${if isV6 address then "128" else "32"}";
          }) addresses;
          ports = [
            {
              protocol = "TCP";
              inherit port;
            }
          ];
        }
        {
          to = [ { namespaceSelector.matchLabels."kubernetes.io/metadata.name" = "kube-system"; } ];
          ports =
            map
              (protocol: {
                inherit protocol;
                port = 53;
              })
              [
                "UDP"
                "TCP"
              ];
        }
      ]
      ++ optional (k3s.networkPolicy.allowedCIDRs != [ ]) {
        to = map (cidr: { ipBlock = { inherit cidr; }; }) k3s.networkPolicy.allowedCIDRs;
      };
    };
  };
  serviceMonitor = {
    apiVersion = "monitoring.coreos.com/v1";
    kind = "ServiceMonitor";
    metadata = metadata { inherit name; };
    spec = {
      selector.matchLabels = labels;
      endpoints = [
        (
          {
            port = scheme;
            inherit scheme;
            path = "/metrics";
          }
          // optionalAttrs (scheme == "https" && cfg.api.tls.serverName != null) {
            tlsConfig.serverName = cfg.api.tls.serverName;
          }
          // optionalAttrs (k3s.serviceMonitor.tokenSecret != null) {
            authorization.credentials = {
              name = k3s.serviceMonitor.tokenSecret;
              key = "token";
            };
          }
        )
      ];
    };
  };

  manifests = {
    # k3s applies files by their names: the namespace has to come first.
    "00-exo-namespace" = namespace;
    "10-exo-service-account" = serviceAccount;
  }
  // optionalAttrs k3s.serviceDiscovery (
    {
      "20-exo-service" = service;
    }
    // mapAttrs' (
      node: address: nameValuePair "30-exo-endpoints-${node}" (endpointSlice node address)
    ) addresses
  )
  // optionalAttrs k3s.networkPolicy.enable { "40-exo-network-policy" = networkPolicy; }
  // optionalAttrs k3s.serviceMonitor.enable { "50-exo-service-monitor" = serviceMonitor; };
in
{
  config = mkIf cfg.enable {
    services.exo.k3s.manifests = manifests;
    services.k3s.manifests = mkIf k3s.integration (
      lib.mapAttrs (_: content: { inherit content; }) manifests
    );
    networking.firewall.interfaces = mkIf (k3s.integration && k3s.serviceDiscovery) (
      genAttrs k3s.cniInterfaces (_: {
        allowedTCPPorts = [ port ];
      })
    );
  };
}
