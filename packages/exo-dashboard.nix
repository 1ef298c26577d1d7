# The page that exo-api serves at /, as files for a web server of one's own, which passes every other path on to an API.
{ pkgs, workspace }:
pkgs.runCommand "exo-dashboard-${workspace.version}"
  {
    pname = "exo-dashboard";
    inherit (workspace) version;
    meta = workspace.meta // {
      description = "The web page of an exo cluster";
    };
  }
  ''
    mkdir -p $out/share/exo
    cp -r ${../services/exo-api/assets} $out/share/exo/dashboard
  ''
