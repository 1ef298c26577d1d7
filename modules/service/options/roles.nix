# Exceptions for one of the three services.
{
  config,
  pkgs,
  lib,
  ...
}:
let
  inherit (lib)
    mkOption
    literalExpression
    types
    genAttrs
    ;
  cfg = config.services.exo;
  plays = {
    master = cfg.mode != "worker";
    worker = cfg.mode != "master";
    api = true;
  };
  role = name: {
    enable = mkOption {
      type = types.bool;
      default = plays.${name};
      defaultText = literalExpression "whatever services.exo.mode says";
      example = false;
      description = "Whether exo-${name} runs here.";
    };

    extraArgs = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [
        "--log-level"
        "debug"
      ];
      description = "Further arguments of exo-${name}.";
    };

    environment = mkOption {
      type = types.attrsOf types.str;
      default = { };
      example = {
        EXO_LOGGING_LEVEL = "debug";
      };
      description = "Environment of exo-${name}. Not for secrets: everybody can read it.";
    };

    settings = mkOption {
      type = (pkgs.formats.toml { }).type;
      default = { };
      example = literalExpression "{ logging.level = \"debug\"; }";
      description = "Keys of exo.toml that hold for exo-${name} only. They win over `settings`.";
    };
  };
in
{
  options.services.exo.roles = genAttrs [
    "master"
    "worker"
    "api"
  ] role;
}
