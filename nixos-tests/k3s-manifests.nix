# One machine that is a k3s server and tells it of exo.
# Only on NixOS: it needs NixOS's module of k3s
{ machines, lib, ... }:
lib.mapAttrs (_name: configuration: {
  imports = [ configuration ];
  services.k3s = {
    enable = true;
    role = "server";
    extraFlags = [
      "--disable=coredns,local-storage,metrics-server,servicelb,traefik"
    ];
  };
  services.exo = {
    apiPort = 52415;
    k3s = {
      integration = true;
      nodeAddress = "192.168.1.1";
    };
  };
  virtualisation.memorySize = lib.mkForce 3072;
}) (machines ./k3s-manifests.toml)
