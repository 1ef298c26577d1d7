# The model that comes with the project.
{ pkgs, workspace }:
pkgs.runCommand "exo-guide-${workspace.version}"
  {
    pname = "exo-guide";
    inherit (workspace) version;
    meta = workspace.meta // {
      description = "A small language model that answers questions about exo";
    };
  }
  ''
    mkdir -p $out/share/exo/models
    cp ${../models/exo-guide.gguf} $out/share/exo/models/exo-guide.gguf
  ''
