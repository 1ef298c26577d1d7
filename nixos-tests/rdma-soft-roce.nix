# Two machines with RDMA in software over their network, under the worker's own limits.
# Not in containers: soft-RoCE needs a kernel that loads rdma_rxe
{
  machines,
  lib,
  pkgs,
  ...
}:
lib.mapAttrs (_name: configuration: {
  imports = [ configuration ];
  boot.kernelModules = [ "rdma_rxe" ];
  environment.systemPackages = [
    pkgs.rdma-core
    pkgs.iproute2
  ];
  networking.firewall.trustedInterfaces = [ "eth1" ];
}) (machines ./rdma-soft-roce.toml)
