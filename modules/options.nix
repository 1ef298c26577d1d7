# The options of services.exo. What they are turned into stands in the files beside this one.
{ self }:
{ pkgs, lib, ... }:
let
  inherit (lib) mkOption mkEnableOption types;
in
{
  options.services.exo = {
    enable = mkEnableOption "exo: this machine joins the cluster that it finds, or begins one";

    package = mkOption {
      type = types.package;
      default = self.packages.${pkgs.stdenv.hostPlatform.system}.exo-complete;
      defaultText = lib.literalExpression "exo.packages.\${system}.exo-complete";
      description = "Programs and units of exo.";
    };

    mode = mkOption {
      type = types.enum [
        "auto"
        "master"
        "worker"
      ];
      default = "auto";
      example = "worker";
      description = ''
        What runs here. `auto`: master, worker and API; masters agree on who leads. `master`: master and API,
        no models. `worker`: worker and API; another machine has to be master.
      '';
    };

    apiPort = mkOption {
      type = types.port;
      default = 52415;
      description = "TCP port of the HTTP API.";
    };

    networking = {
      discoveryPort = mkOption {
        type = types.port;
        default = 52416;
        description = "UDP port on which nodes find each other by multicast.";
      };

      openFirewall = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Opens the ports that nodes use between each other (discovery, bus, tensor links) on all interfaces.
          The API's port is not among them: it listens on the loopback interface unless settings say otherwise.
        '';
      };
    };

    settings = mkOption {
      type = (pkgs.formats.toml { }).type;
      default = { };
      example = lib.literalExpression ''
        {
          name = "attic";
          networking.peers = [ "10.0.0.2:52414" ];
          models.place = [ "exo-guide" ];
        }
      '';
      description = ''
        Keys of exo.toml, as they stand in docs/configuration.md. They are checked when the system is built:
        a key that does not exist fails the build, not the service.
      '';
    };

    security = {
      user = mkOption {
        type = types.str;
        default = "exo";
        description = "User that the services run as. Made here only if it is `exo`.";
      };

      group = mkOption {
        type = types.str;
        default = "exo";
        description = "Group that the services run as. Made here only if it is `exo`.";
      };

      dataDir = mkOption {
        type = types.path;
        default = "/var/lib/exo";
        description = "Identity of the node, the log, and models of its own.";
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
    };
  };
}
