# All programs together with their units, completions, manual pages, the guide model and the documents: what
# services.exo.package is.
{
  pkgs,
  lib,
  programs,
  exo-guide,
  exo-docs,
}:
let
  exo = lib.head programs;
  inherit (pkgs.stdenv) buildPlatform hostPlatform;
  canRun = buildPlatform.canExecute hostPlatform;
in
pkgs.runCommand "exo-complete-${exo.version}"
  {
    pname = "exo-complete";
    inherit (exo) version;
    passthru = {
      inherit programs;
      # What the runner of this package computes on, and what else it can: the modules ask.
      accelerators = [ "cpu" ];
      features = [ ];
    };
    meta = exo.meta // {
      description = "exo: all programs, units and the guide model";
    };
  }
  ''
    mkdir -p $out/bin $out/lib/systemd/system $out/lib/sysusers.d $out/share/exo
    ${lib.concatMapStringsSep "\n" (program: "cp -f ${program}/bin/* $out/bin/") programs}

    cp ${../packaging/systemd}/* $out/lib/systemd/system/
    chmod -R u+w $out/lib/systemd/system
    substituteInPlace $out/lib/systemd/system/*.service \
      --replace-fail /usr/bin/ $out/bin/ \
      --replace-quiet file:///usr/share/doc/ file://$out/share/doc/
    cp ${../packaging/sysusers/exo.conf} $out/lib/sysusers.d/exo.conf

    ln -s ${exo-guide}/share/exo/models $out/share/exo/models
    ln -s ${exo-docs}/share/doc $out/share/doc
    ${lib.optionalString canRun ''
      $out/bin/exo man $out/share/man
      mkdir -p $out/share/bash-completion/completions $out/share/zsh/site-functions $out/share/fish/vendor_completions.d
      $out/bin/exo completions bash >$out/share/bash-completion/completions/exo
      $out/bin/exo completions zsh >$out/share/zsh/site-functions/_exo
      $out/bin/exo completions fish >$out/share/fish/vendor_completions.d/exo.fish
    ''}
  ''
