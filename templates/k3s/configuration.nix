# A k3s server: pods in the namespace `exo` reach the API at http://exo.exo:52415.
{
  networking.hostName = "attic";

  services.k3s = {
    enable = true;
    role = "server";
  };

  services.exo = {
    enable = true;
    instances.guide.model = "exo-guide";
    api = {
      bind = "10.0.0.2";
      authTokenFile = "/run/secrets/exo-api-keys";
    };
    k3s = {
      integration = true;
      nodeAddress = "10.0.0.2";
    };
  };
}
