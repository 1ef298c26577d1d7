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
  inStore = path: lib.hasPrefix builtins.storeDir (toString path);
in
{
  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = lib.allUnique tcpPorts;
        message = "services.exo: two of the TCP ports are the same: ${lib.concatMapStringsSep ", " toString tcpPorts}.";
      }
      {
        assertion = !(api ? keyFile && inStore api.keyFile);
        message = "services.exo.settings.api.keyFile lies in the Nix store, which everybody can read; name a file outside of it.";
      }
    ];
    warnings =
      lib.optional discoversNobody
        "services.exo: multicast is off and settings.networking.peers is empty: this machine stays alone unless others name it.";
  };
}
