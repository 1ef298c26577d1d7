# The modules as the flake gives them: each alone, or all together, with the flake's own package.
{ self, lib }:
let
  # Imported by path, so that NixOS takes it once, whichever of the modules bring it.
  withPackage = path: {
    imports = [
      path
      (import ./package.nix { inherit self; })
    ];
  };
in
lib.mapAttrs (_: withPackage) {
  exo-service = ./service;
  exo-networking = ./networking;
  exo-hardware = ./hardware;
  exo-k3s = ./k3s;
  default = ./.;
}
