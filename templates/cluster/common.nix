# What the three machines share: they may all lead, and one of them may fail.
{
  services.exo = {
    enable = true;
    networking = {
      openFirewall = true;
      # The network between them, and nobody else's.
      allowedCIDRs = [ "10.0.0.0/24" ];
    };
    instances.guide = {
      model = "exo-guide";
      minNodes = 2;
    };
  };
}
