# What Kubernetes could not use.
{ config, lib, ... }:
let
  cfg = config.services.exo;
  inherit (cfg) k3s;
  isLoopback = address: lib.hasPrefix "127." address || address == "::1";
  addresses = lib.attrValues k3s.nodes ++ lib.optional (k3s.nodeAddress != null) k3s.nodeAddress;
  bad = lib.filter isLoopback addresses;
in
{
  config = lib.mkIf (cfg.enable && k3s.integration) {
    assertions = [
      {
        assertion = config.services.k3s.enable && config.services.k3s.role == "server";
        message = "services.exo.k3s.integration needs a k3s server on this machine (services.k3s.enable, services.k3s.role = \"server\"): only servers apply manifests. Set it there, and this machine's address in services.exo.k3s.nodes.";
      }
      {
        assertion = !k3s.serviceDiscovery || addresses != [ ];
        message = "services.exo.k3s.serviceDiscovery has no API to tell pods of; set services.exo.k3s.nodeAddress to this machine's address.";
      }
      {
        assertion = bad == [ ];
        message = "services.exo.k3s: ${lib.concatStringsSep ", " bad} is a loopback address, which pods cannot reach (nodeAddress, nodes).";
      }
      {
        assertion = k3s.nodeAddress == null || !(isLoopback cfg.settings.api.bind);
        message = "services.exo.k3s tells pods of this machine's API, but it listens on ${cfg.settings.api.bind} only; set services.exo.api.bind, and services.exo.api.authTokenFile with it.";
      }
    ];
  };
}
