# The options of NixOS that exo's modules and templates set, with types that merge as NixOS's do. A name that NixOS does not
# have, or has with another type, is found by evaluating with the real one only.
{ lib, pkgsFor }:
let
  inherit (lib) mkOption types;
  inherit (types)
    anything
    attrsOf
    bool
    lines
    listOf
    package
    path
    port
    str
    submodule
    ;
  any = mkOption {
    type = attrsOf anything;
    default = { };
  };
  list =
    of:
    mkOption {
      type = listOf of;
      default = [ ];
    };
  flag = mkOption {
    type = bool;
    default = false;
  };
  text = mkOption {
    type = lines;
    default = "";
  };
  word =
    default:
    mkOption {
      type = str;
      inherit default;
    };
  setOf =
    options:
    mkOption {
      type = attrsOf (submodule {
        inherit options;
      });
      default = { };
    };

  ports = {
    allowedTCPPorts = list port;
    allowedUDPPorts = list port;
    allowedTCPPortRanges = list (attrsOf port);
  };
  unit = {
    enable = mkOption {
      type = bool;
      default = true;
    };
    description = word "";
    documentation = list str;
    after = list str;
    before = list str;
    bindsTo = list str;
    partOf = list str;
    requires = list str;
    wants = list str;
    wantedBy = list str;
    requiredBy = list str;
    restartTriggers = list anything;
    stopIfChanged = mkOption {
      type = bool;
      default = true;
    };
    startLimitIntervalSec = mkOption {
      type = types.int;
      default = 10;
    };
    environment = mkOption {
      type = attrsOf str;
      default = { };
    };
    path = list package;
    unitConfig = any;
    serviceConfig = any;
    sliceConfig = any;
  };
  networkdUnit = {
    matchConfig = any;
    linkConfig = any;
    networkConfig = any;
    netdevConfig = any;
    bondConfig = any;
    address = list str;
  };

  options = {
    assertions = list anything;
    warnings = list str;
    environment = {
      etc = setOf {
        source = mkOption { type = path; };
        mode = word "symlink";
        text = word "";
      };
      systemPackages = list package;
    };
    users = {
      users = setOf {
        isSystemUser = flag;
        isNormalUser = flag;
        group = word "";
        home = word "/var/empty";
        description = word "";
        extraGroups = list str;
      };
      groups = mkOption {
        type = attrsOf anything;
        default = { };
      };
    };
    systemd = {
      packages = list package;
      services = setOf unit;
      targets = setOf unit;
      slices = setOf unit;
      tmpfiles = {
        settings = any;
        rules = list str;
      };
      network = {
        enable = flag;
        netdevs = setOf networkdUnit;
        networks = setOf networkdUnit;
      };
    };
    networking = {
      hostName = word "nixos";
      useNetworkd = flag;
      useDHCP = flag;
      nftables.enable = flag;
      bonds = any;
      interfaces = any;
      firewall = ports // {
        enable = flag;
        trustedInterfaces = list str;
        extraCommands = text;
        extraInputRules = text;
        interfaces = setOf ports;
      };
    };
    boot = {
      kernelModules = list str;
      loader = any;
    };
    fileSystems = any;
    hardware = any;
    nixpkgs = any;
    specialisation = any;
    system = any;
    virtualisation = any;
    services = {
      udev.extraRules = text;
      hardware.bolt.enable = flag;
      k3s = {
        enable = flag;
        role = mkOption {
          type = types.enum [
            "server"
            "agent"
          ];
          default = "server";
        };
        tokenFile = word "";
        serverAddr = word "";
        extraFlags = list str;
        manifests = setOf { content = any; };
      };
      prometheus = {
        enable = flag;
        scrapeConfigs = list anything;
      };
      xserver.videoDrivers = list str;
    };
  };
in
{
  system ? "x86_64-linux",
  modules,
}:
let
  pkgs = pkgsFor system;
  evaluated = lib.evalModules {
    specialArgs = { inherit pkgs; };
    modules = [ { inherit options; } ] ++ modules;
  };
  inherit (evaluated) config;
  refusals = lib.filter (entry: !entry.assertion) config.assertions;
  # Everything that exo puts into a system, down to each command line.
  toplevel =
    if refusals != [ ] then
      throw (lib.concatMapStringsSep "\n" (entry: entry.message) refusals)
    else
      pkgs.writeText "nixos-system-${config.networking.hostName}" (
        builtins.toJSON [
          (lib.mapAttrs (_: unit: {
            inherit (unit)
              after
              environment
              restartTriggers
              serviceConfig
              unitConfig
              wantedBy
              wants
              ;
          }) config.systemd.services)
          (lib.mapAttrs (_: entry: "${entry.source}") config.environment.etc)
          (map (package: "${package}") (config.environment.systemPackages ++ config.systemd.packages))
          config.systemd.slices
          config.systemd.network
          config.networking
          config.services.k3s.manifests
          config.services.prometheus.scrapeConfigs
          config.users
        ]
      );
in
evaluated
// {
  inherit pkgs;
  config = lib.recursiveUpdate config { system.build = { inherit toplevel; }; };
}
