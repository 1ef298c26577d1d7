# The API of this cluster as a service of a Kubernetes cluster (k3s) on the same machines.
{
  imports = [
    ../service
    ./options.nix
    ./manifests.nix
    ./assertions.nix
  ];
}
