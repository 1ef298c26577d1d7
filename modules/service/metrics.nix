# The numbers of /metrics for a Prometheus on this machine.
{ config, lib, ... }:
let
  cfg = config.services.exo;
  inherit (cfg.settings) api;
  everywhere = [
    "0.0.0.0"
    "::"
  ];
  host = if lib.elem api.bind everywhere then "127.0.0.1" else api.bind;
in
{
  config = lib.mkIf (cfg.enable && cfg.metrics.scrape) {
    services.prometheus.scrapeConfigs = [
      (
        {
          job_name = "exo";
          static_configs = [ { targets = [ "${host}:${toString api.port}" ]; } ];
        }
        // lib.optionalAttrs (api ? tls.certificate) (
          {
            scheme = "https";
          }
          // lib.optionalAttrs (cfg.api.tls.serverName != null) {
            tls_config.server_name = cfg.api.tls.serverName;
          }
        )
        // lib.optionalAttrs (cfg.metrics.tokenFile != null) {
          authorization.credentials_file = cfg.metrics.tokenFile;
        }
      )
    ];
  };
}
