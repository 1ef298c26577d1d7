# All programs together with their units, the guide model and the documents: what services.exo.package is.
{
  pkgs,
  lib,
  programs,
}:
let
  exo = lib.head programs;
in
pkgs.runCommand "exo-complete-${exo.version}"
  {
    inherit (exo) version;
    passthru = { inherit programs; };
    meta = exo.meta // {
      description = "exo: all programs, units and the guide model";
    };
  }
  ''
    mkdir -p $out/bin $out/lib/systemd/system $out/lib/sysusers.d $out/share/exo/models $out/share/doc/exo
    ${lib.concatMapStringsSep "\n" (program: "cp -f ${program}/bin/* $out/bin/") programs}

    cp ${../packaging/systemd}/* $out/lib/systemd/system/
    chmod -R u+w $out/lib/systemd/system
    substituteInPlace $out/lib/systemd/system/*.service \
      --replace-fail /usr/bin/ $out/bin/ \
      --replace-fail file:///usr/share/doc/ file://$out/share/doc/
    cp ${../packaging/sysusers/exo.conf} $out/lib/sysusers.d/exo.conf

    cp ${../models}/*.gguf $out/share/exo/models/
    cp ${../README.md} $out/share/doc/exo/README.md
  ''
