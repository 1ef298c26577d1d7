{
  description = "A k3s server whose pods use exo";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
  inputs.exo.url = "github:exo-nix/exo";
  inputs.exo.inputs.nixpkgs.follows = "nixpkgs";

  outputs =
    { nixpkgs, exo, ... }:
    let
      machine =
        name:
        nixpkgs.lib.nixosSystem {
          modules = [
            exo.nixosModules.default
            ./${name}.nix
            # Made by nixos-generate-config on that machine.
            ./hardware/${name}.nix
          ];
        };
    in
    {
      nixosConfigurations = {
        attic = machine "configuration";
      };
    };
}
