# What cannot work, said before it is tried.
{ config, lib, ... }:
let
  cfg = config.services.exo;
  networking = cfg.settings.networking or { };
  api = cfg.settings.api or { };
  tcpPorts = [
    (api.port or cfg.apiPort)
    (networking.clusterPort or 52414)
    (networking.workerPort or 52417)
    (networking.apiPort or 52418)
  ];
  discoversNobody = !(networking.multicast or true) && (networking.peers or [ ]) == [ ];
  # A path without quotes is copied there too.
  inStore = path: builtins.isPath path || lib.hasPrefix builtins.storeDir (toString path);
  hidden = [
    "/home/"
    "/root/"
    "/run/user/"
    "/tmp/"
    "/var/tmp/"
  ];
in
{
  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = lib.allUnique tcpPorts;
        message = "services.exo: two of the TCP ports are the same: ${
          lib.concatMapStringsSep ", " toString tcpPorts
        }.";
      }
      {
        assertion = !(api ? keyFile && inStore api.keyFile);
        message = "services.exo.settings.api.keyFile lies in the Nix store, which everybody can read; name a file outside of it.";
      }
      {
        assertion = !(lib.any (folder: lib.hasPrefix folder "${cfg.settings.dataDir}/") hidden);
        message = "services.exo.security.dataDir is ${cfg.settings.dataDir}, which the services cannot see (ProtectHome, PrivateTmp); choose a folder such as /var/lib/exo or /srv/exo.";
      }
    ];
    warnings = lib.optional discoversNobody "services.exo: multicast is off and settings.networking.peers is empty: this machine stays alone unless others name it.";
  };
}
