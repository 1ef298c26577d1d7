# What cannot work, said before it is tried.
{ config, lib, ... }:
let
  inherit (lib)
    any
    filterAttrs
    hasPrefix
    optional
    ;
  cfg = config.services.exo;
  inherit (cfg.settings) api dataDir;
  isLoopback = hasPrefix "127." api.bind || api.bind == "::1";
  hidden = [
    "/home/"
    "/root/"
    "/run/user/"
    "/tmp/"
    "/var/tmp/"
  ];

  secrets = {
    "api.authTokenFile" = cfg.api.authTokenFile;
    "api.tls.key" = cfg.api.tls.key;
    "metrics.tokenFile" = cfg.metrics.tokenFile;
    "security.joinTokenFile" = cfg.security.joinTokenFile;
    "settings.api.keyFile" = api.keyFile or null;
    "settings.api.tls.key" = api.tls.key or null;
    "settings.security.joinTokenFile" = cfg.settings.security.joinTokenFile or null;
  }
  // lib.mapAttrs' (name: lib.nameValuePair "credentials.${name}") cfg.credentials
  // lib.listToAttrs (map (file: lib.nameValuePair "environmentFiles" file) cfg.environmentFiles);
  # A path without quotes is copied there too.
  inStore = file: builtins.isPath file || hasPrefix builtins.storeDir (toString file);
  readable = lib.attrNames (filterAttrs (_: inStore) secrets);

  greedy = lib.attrNames (
    filterAttrs (
      _: instance: instance.nodes != [ ] && lib.length instance.nodes < instance.minNodes
    ) cfg.instances
  );
  missing = kind: name: name != "exo" && !(config.users.${kind} ? ${name});
in
{
  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = readable == [ ];
        message = "services.exo: ${lib.concatStringsSep ", " readable} lies in the Nix store, which everybody can read; name a file outside of it, in quotes.";
      }
      {
        assertion = isLoopback || api ? keyFile;
        message = "services.exo.api.bind = \"${api.bind}\" lets other machines in, but there is no services.exo.api.authTokenFile; name a file with one key on each line, or leave bind at \"127.0.0.1\".";
      }
      {
        assertion = (cfg.api.tls.certificate == null) == (cfg.api.tls.key == null);
        message = "services.exo.api.tls has only one of certificate and key; name both for HTTPS, or none of them for HTTP.";
      }
      {
        assertion = !(any (folder: hasPrefix folder "${dataDir}/") hidden);
        message = "services.exo.security.dataDir is ${dataDir}, which the services cannot see (ProtectHome, PrivateTmp); choose a folder such as /var/lib/exo or /srv/exo.";
      }
      {
        assertion = hasPrefix "/" dataDir;
        message = "services.exo.security.dataDir is ${dataDir}, which is no absolute path.";
      }
      {
        assertion = hasPrefix "/etc/" cfg.security.configDir;
        message = "services.exo.security.configDir is ${cfg.security.configDir}; it has to be below /etc, where NixOS puts it.";
      }
      {
        assertion = !(missing "users" cfg.security.user);
        message = "services.exo.security.user is ${cfg.security.user}, which nobody makes; add users.users.${cfg.security.user}, or leave it at \"exo\".";
      }
      {
        assertion = !(missing "groups" cfg.security.group);
        message = "services.exo.security.group is ${cfg.security.group}, which nobody makes; add users.groups.${cfg.security.group}, or leave it at \"exo\".";
      }
      {
        assertion = greedy == [ ];
        message = "services.exo.instances: ${lib.concatStringsSep ", " greedy} asks for more nodes (minNodes) than it names (nodes).";
      }
      {
        assertion = !(cfg.pruneInstances && cfg.models.preload != [ ]);
        message = "services.exo.pruneInstances would take away what services.exo.models.preload places again; put those models into services.exo.instances.";
      }
      {
        assertion = !(cfg.instances != { } && !cfg.roles.api.enable);
        message = "services.exo.instances are placed through this machine's API; set services.exo.roles.api.enable, or name them on another machine.";
      }
      {
        assertion = !(cfg.metrics.scrape && api ? keyFile && cfg.metrics.tokenFile == null);
        message = "services.exo.metrics.scrape: the API asks for keys, and Prometheus has none; name services.exo.metrics.tokenFile.";
      }
    ];
    warnings =
      optional (!cfg.security.hardening)
        "services.exo.security.hardening is off: exo's services may do what their user may. Turn it on again when you know what they need.";
  };
}
