# The options that every machine may set. What they are turned into stands in the files beside this one.
{ pkgs, lib, ... }:
let
  inherit (lib)
    mkOption
    mkEnableOption
    literalExpression
    types
    ;
in
{
  options.services.exo = {
    enable = mkEnableOption "exo: this machine joins the cluster that it finds, or begins one";

    package = mkOption {
      type = types.package;
      default = pkgs.exo-complete;
      defaultText = literalExpression "the flake's exo-complete, or pkgs.exo-complete of its overlay";
      example = literalExpression "pkgs.exo-complete";
      description = "Programs, units and the guide model.";
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
        no models. `worker`: worker and API; another machine has to be master. Key `mode`.
      '';
    };

    apiPort = mkOption {
      type = types.port;
      default = 52415;
      example = 8080;
      description = "TCP port of the HTTP API. Key `api.port`.";
    };

    api = {
      bind = mkOption {
        type = types.str;
        default = "127.0.0.1";
        example = "0.0.0.0";
        description = ''
          Address on which the HTTP API listens. One that other machines reach needs `api.authTokenFile`, and the port
          has to be opened (`networking.firewall.allowedTCPPorts`). Key `api.bind`.
        '';
      };

      authTokenFile = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "/run/secrets/exo-api-keys";
        description = ''
          File with the keys that clients may present, one on each line, outside of the Nix store. The API gets it as a
          credential, so that only root has to be able to read it. Key `api.keyFile`.
        '';
      };

      tls = {
        certificate = mkOption {
          type = types.nullOr types.str;
          default = null;
          example = "/var/lib/acme/exo.example.org/fullchain.pem";
          description = ''
            PEM file with the certificate of the API and those between it and its authority. With `api.tls.key` the API
            speaks HTTPS only. The API gets both as credentials, so that only root has to be able to read them, and gets
            them anew at a reload (systemd 260; older ones need a restart). Key `api.tls.certificate`.
          '';
        };

        key = mkOption {
          type = types.nullOr types.str;
          default = null;
          example = "/var/lib/acme/exo.example.org/key.pem";
          description = "PEM file with the private key of `api.tls.certificate`, outside of the Nix store. Key `api.tls.key`.";
        };

        serverName = mkOption {
          type = types.nullOr types.str;
          default = null;
          example = "exo.example.org";
          description = ''
            Name that the certificate is for. A Prometheus that is told of the API (`metrics.scrape`,
            `k3s.serviceMonitor`) asks an address, and takes the certificate for this name instead.
          '';
        };
      };
    };

    settings = mkOption {
      type = (pkgs.formats.toml { }).type;
      default = { };
      example = literalExpression ''
        {
          name = "attic";
          engine.threads = 8;
        }
      '';
      description = ''
        Keys of exo.toml, as they stand in docs/configuration.md. They win over the options beside this one, and are
        checked when the system is built: a key that does not exist fails the build, not the service.
      '';
    };

    checkConfig = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = ''
        Whether the configuration is proved when the system is built, by the programs themselves. It is not where they
        cannot run on the building machine (cross builds).
      '';
    };

    environmentFiles = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "/run/secrets/exo.env" ];
      description = "Files of `EXO_…=value` lines that all three services read, outside of the Nix store.";
    };

    credentials = mkOption {
      type = types.attrsOf types.str;
      default = { };
      example = {
        "hub-token" = "/run/secrets/hub-token";
      };
      description = "Further files that all three services get as credentials (systemd.exec, LoadCredential), by name.";
    };

    logging = {
      level = mkOption {
        type = types.str;
        default = "info";
        example = "info,exo_bus=debug";
        description = "How much is logged, for everything or for parts. Key `logging.level`.";
      };

      format = mkOption {
        type = types.enum [
          "auto"
          "text"
          "json"
        ];
        default = "auto";
        example = "json";
        description = "`auto` writes fields into the journal. Key `logging.format`.";
      };
    };

    metrics = {
      scrape = mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = "Whether the Prometheus of this machine (`services.prometheus`) asks the API for `/metrics`.";
      };

      tokenFile = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "/run/secrets/exo-metrics-key";
        description = "File with the one key that Prometheus presents, where the API asks for keys; readable by Prometheus.";
      };
    };
  };
}
