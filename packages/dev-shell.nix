# Everything that `./x` needs.
{ pkgs }:
pkgs.mkShell {
  packages = [
    pkgs.cargo
    pkgs.rustc
    pkgs.clippy
    pkgs.rustfmt
    pkgs.rust-analyzer
    pkgs.cargo-nextest
    pkgs.cargo-deny
    pkgs.git
    pkgs.python3
    pkgs.nixfmt-tree
    pkgs.deadnix
  ];
}
