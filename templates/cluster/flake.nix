{
  description = "Three machines that serve language models together";

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
        attic = machine "attic";
        boron = machine "boron";
        cellar = machine "cellar";
      };
    };
}
