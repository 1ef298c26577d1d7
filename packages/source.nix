# What the Rust build reads, and nothing else: a changed document or module does not rebuild a program.
{ lib }:
lib.fileset.toSource {
  root = ../.;
  fileset = lib.fileset.unions [
    ../Cargo.toml
    ../Cargo.lock
    ../clippy.toml
    ../crates
    ../services
    (lib.fileset.difference ../xtask ../xtask/nix)
    ../docs/configuration.md
  ];
}
