# Builds all programs at once: they share nearly everything that they are made of.
{ pkgs, lib }:
let
  manifest = lib.importTOML ../Cargo.toml;
  inherit (manifest.workspace.package) version rust-version;
  packageFlags = lib.concatMap (name: [
    "--package"
    name
  ]);
in
assert lib.assertMsg (lib.versionAtLeast pkgs.rustc.version rust-version)
  "exo needs rustc ${rust-version} (Cargo.toml, rust-version); this nixpkgs has ${pkgs.rustc.version}";
pkgs.rustPlatform.buildRustPackage {
  pname = "exo-workspace";
  inherit version;
  src = import ./source.nix { inherit lib; };
  cargoLock.lockFile = ../Cargo.lock;
  cargoBuildFlags = packageFlags [
    "exo"
    "exo-master"
    "exo-worker"
    "exo-api"
    "exo-runner"
  ];
  # Those that need neither a network nor a model nor another process.
  cargoTestFlags = packageFlags [
    "exo-types"
    "exo-state"
    "exo-placement"
    "exo-election"
    "exo-plan"
    "exo-wire"
    "exo-text"
    "exo-gguf"
    "exo-kernels"
    "exo-config"
  ];
  meta = {
    description = "All programs of exo as one build; the packages beside this one take theirs from it";
    homepage = manifest.workspace.package.repository;
    license = lib.licenses.asl20;
    platforms = lib.platforms.linux;
  };
}
