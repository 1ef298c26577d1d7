# Let in with the word that `sudo -u exo exo cluster token --reusable` prints on attic.
{
  imports = [ ./common.nix ];
  networking.hostName = "boron";

  services.exo.security.joinTokenFile = "/run/secrets/exo-join-token";
}
