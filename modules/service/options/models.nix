# Which models there are, and which are placed.
{ lib, ... }:
let
  inherit (lib) mkOption literalExpression types;

  instance = {
    options = {
      model = mkOption {
        type = types.str;
        example = "exo-guide";
        description = "Id of the model, as `exo models` lists it.";
      };

      minNodes = mkOption {
        type = types.ints.positive;
        default = 1;
        example = 2;
        description = "Cut it over at least so many nodes.";
      };

      nodes = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [
          "attic"
          "cellar"
        ];
        description = "Names or ids of the only nodes that may hold it; any, if none is named.";
      };

      sharding = mkOption {
        type = types.enum [
          "pipeline"
          "tensor"
        ];
        default = "pipeline";
        example = "tensor";
        description = "How it is cut: by layers, or within them.";
      };

      contextLength = mkOption {
        type = types.nullOr types.ints.positive;
        default = null;
        example = 8192;
        description = "Context in tokens; `engine.contextLength` of the leading master, if null.";
      };
    };
  };
in
{
  options.services.exo = {
    models = {
      dirs = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "/srv/models" ];
        description = ''
          Folders with models, besides `models` in the data directory, `models.files` and the guide model. The services'
          user has to be able to read them. Key `models.dirs`.
        '';
      };

      files = mkOption {
        type = types.attrsOf types.path;
        default = { };
        example = literalExpression ''
          {
            "llama-3.2-1b.gguf" = pkgs.fetchurl {
              url = "https://models.example.org/llama-3.2-1b.gguf";
              hash = "sha256-…";
            };
          }
        '';
        description = "Model files of this machine by their names, from the Nix store or anywhere else.";
      };

      preload = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "exo-guide" ];
        description = ''
          Models that the leading master places whenever no instance of them exists. For more than one instance of a
          model, or another way of cutting it, see `instances`. Key `models.place`.
        '';
      };
    };

    instances = mkOption {
      type = types.attrsOf (types.submodule instance);
      default = { };
      example = {
        guide = {
          model = "exo-guide";
          minNodes = 2;
        };
      };
      description = ''
        Placed models that there shall be, by names of your own. `exo-apply.service` places those that are missing when
        this machine's master leads, and tries again until they fit; what is there already stays as it is. Every
        machine that may lead should have the same.
      '';
    };

    pruneInstances = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = ''
        Whether instances that `instances` does not ask for are taken away, however they came to be. Not together with
        `models.preload`, which would place them again.
      '';
    };
  };
}
