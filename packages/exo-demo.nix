# `nix run .#demo`: two nodes on this machine and a model over both.
{
  pkgs,
  exo,
  exo-guide,
}:
pkgs.runCommand "exo-demo-${exo.version}"
  {
    inherit (exo) version;
    meta = exo.meta // {
      description = "Two nodes on this machine, a model over both, two answers";
      mainProgram = "demo";
    };
  }
  ''
    mkdir -p $out/bin
    cat >$out/bin/demo <<'SCRIPT'
    #!${pkgs.runtimeShell}
    exec ${exo}/bin/exo demo --models ${exo-guide}/share/exo/models "$@"
    SCRIPT
    chmod +x $out/bin/demo
  ''
