# The user and group of the services.
{ config, lib, ... }:
let
  cfg = config.services.exo;
  inherit (cfg.security) user group dataDir;
in
{
  config = lib.mkIf cfg.enable {
    users.users = lib.mkIf (user == "exo") {
      exo = {
        isSystemUser = true;
        inherit group;
        home = dataDir;
        description = "exo services";
      };
    };
    users.groups = {
      # Whom cards belong to; the units name them.
      render = { };
      video = { };
    }
    // lib.optionalAttrs (group == "exo") { exo = { }; };
  };
}
