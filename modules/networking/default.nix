# How machines reach each other: ports, bonds, RDMA, a network namespace.
{
  imports = [
    ../service
    ./options.nix
    ./bond-options.nix
    ./rdma-options.nix
    ./settings.nix
    ./firewall.nix
    ./bond.nix
    ./rdma.nix
    ./units.nix
    ./assertions.nix
  ];
}
