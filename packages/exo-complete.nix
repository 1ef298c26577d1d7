# All programs together with their units, the guide model and the documents: what services.exo.package is.
{
  pkgs,
  lib,
  exo,
  exo-master,
  exo-worker,
  exo-api,
  exo-runner,
}:
let
  programs = [
    exo
    exo-master
    exo-worker
    exo-api
    exo-runner
  ];
in
pkgs.runCommand "exo-complete-${exo.version}"
  {
    passthru = { inherit programs; };
    meta = exo.meta // {
      description = "exo: all programs, units and the guide model";
    };
  }
  ''
    mkdir -p $out/bin $out/lib/systemd/system $out/lib/sysusers.d $out/share/exo/models $out/share/doc/exo
    ${lib.concatMapStringsSep "\n" (program: "cp -s ${program}/bin/* $out/bin/") programs}

    cp ${../packaging/systemd}/* $out/lib/systemd/system/
    substituteInPlace $out/lib/systemd/system/*.service \
      --replace-quiet /usr/bin/ $out/bin/ \
      --replace-quiet file:///usr/share/doc/ file://$out/share/doc/
    cp ${../packaging/sysusers/exo.conf} $out/lib/sysusers.d/exo.conf

    cp ${../models}/*.gguf $out/share/exo/models/
    cp ${../README.md} $out/share/doc/exo/README.md
  ''
