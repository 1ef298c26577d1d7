# One machine with the model that comes with exo: `curl http://127.0.0.1:52415/v1/models`.
{
  networking.hostName = "attic";

  services.exo = {
    enable = true;
    instances.guide.model = "exo-guide";
  };
}
