# The pages for people, as they stand in the repository.
{ pkgs, workspace }:
pkgs.runCommand "exo-docs-${workspace.version}"
  {
    pname = "exo-docs";
    inherit (workspace) version;
    meta = workspace.meta // {
      description = "The documents of exo";
    };
  }
  ''
    mkdir -p $out/share/doc/exo
    cp ${../README.md} $out/share/doc/exo/README.md
    cp -r ${../docs} $out/share/doc/exo/docs
  ''
