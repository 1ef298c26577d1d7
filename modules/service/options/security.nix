# Who the services are, what they keep where, and how they are let in.
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.services.exo.security = {
    user = mkOption {
      type = types.str;
      default = "exo";
      example = "models";
      description = "User that the services run as. Made here only if it is `exo`.";
    };

    group = mkOption {
      type = types.str;
      default = "exo";
      example = "models";
      description = "Group that the services run as. Made here only if it is `exo`.";
    };

    dataDir = mkOption {
      type = types.str;
      default = "/var/lib/exo";
      example = "/srv/exo";
      description = ''
        Identity of the node, the log, and models of its own. Not below /home, /root or /tmp, which the services cannot
        see. Where a file system is mounted there, the services wait for it. Key `dataDir`.
      '';
    };

    configDir = mkOption {
      type = types.str;
      default = "/etc/exo";
      example = "/etc/exo-lab";
      description = "Folder of exo.toml; below /etc.";
    };

    joinTokenFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/run/secrets/exo-join-token";
      description = ''
        File with a join token (`exo cluster token` on a machine of the cluster), outside of the Nix store. It lets this
        machine into the cluster at its first start; later its content does not matter, but the file has to be there.
        The services get it as a credential, so that only root has to be able to read it. Without one the machine
        begins a cluster of its own.
      '';
    };

    hardening = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = ''
        Whether the services are confined as their units say (`systemd-analyze security exo-worker`). Off, to find out
        whether the confinement is what keeps something from working; then name the exception with
        `systemd.services.exo-….serviceConfig` and turn it on again.
      '';
    };
  };
}
