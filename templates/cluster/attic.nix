# The first machine: it begins the cluster, and serves the API to the house.
{
  imports = [ ./common.nix ];
  networking.hostName = "attic";
  networking.firewall.allowedTCPPorts = [ 52415 ];

  services.exo.api = {
    bind = "0.0.0.0";
    # One key on each line; from sops-nix, agenix, or by hand, but never in the Nix store.
    authTokenFile = "/run/secrets/exo-api-keys";
  };
}
