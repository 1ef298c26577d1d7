# Builds one program of the workspace.
{
  pkgs,
  lib,
  source,
}:
{
  name,
  description,
  # Crates whose tests run when the package is built: those that need neither a network nor a model.
  tested ? [ ],
}:
let
  manifest = lib.importTOML ../Cargo.toml;
  inherit (manifest.workspace.package) version rust-version;
in
assert lib.assertMsg (lib.versionAtLeast pkgs.rustc.version rust-version)
  "exo needs rustc ${rust-version} (Cargo.toml, rust-version); this nixpkgs has ${pkgs.rustc.version}";
pkgs.rustPlatform.buildRustPackage {
  pname = name;
  inherit version;
  src = source;
  cargoLock.lockFile = ../Cargo.lock;
  cargoBuildFlags = [
    "--package"
    name
  ];
  doCheck = tested != [ ];
  cargoTestFlags = lib.concatMap (crate: [
    "--package"
    crate
  ]) tested;
  meta = {
    inherit description;
    homepage = manifest.workspace.package.repository;
    license = lib.licenses.asl20;
    mainProgram = name;
    platforms = lib.platforms.linux;
  };
}
