# Adds exo's packages to a nixpkgs: pkgs.exo-complete, pkgs.exo-master, …
final: _prev:
let
  packages = import ../packages {
    pkgs = final;
    inherit (final) lib;
  };
in
{
  inherit (packages)
    exo-master
    exo-worker
    exo-api
    exo-runner
    exo-guide
    exo-dashboard
    exo-docs
    exo-complete
    ;
  # nixpkgs may have an `exo` of its own: the command line keeps a name apart.
  exo-cli = packages.exo;
}
