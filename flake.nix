{
  description = "exo: Linux machines that find each other and serve language models together";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forEachSystem = make: lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      packagesOf = pkgs: import ./packages { inherit pkgs lib; };
    in
    {
      packages = forEachSystem (
        pkgs:
        packagesOf pkgs
        // {
          default = (packagesOf pkgs).exo-complete;
        }
        // lib.optionalAttrs pkgs.stdenv.hostPlatform.isx86_64 {
          exo-complete-aarch64 = (packagesOf pkgs.pkgsCross.aarch64-multiplatform).exo-complete;
        }
      );

      apps = forEachSystem (
        pkgs:
        let
          packages = packagesOf pkgs;
          app = _: package: {
            type = "app";
            program = lib.getExe package;
            meta.description = package.meta.description;
          };
        in
        lib.mapAttrs app {
          inherit (packages)
            exo
            exo-master
            exo-worker
            exo-api
            exo-runner
            ;
          demo = packages.exo-demo;
          default = packages.exo;
        }
      );

      overlays.default = import ./overlays;

      nixosModules = import ./modules/flake.nix { inherit self lib; };

      nixosConfigurations = import ./templates/examples.nix { inherit self nixpkgs lib; };

      templates = import ./templates;

      checks = forEachSystem (
        pkgs:
        import ./packages/checks.nix {
          inherit
            pkgs
            lib
            self
            nixpkgs
            ;
        }
        // import ./nixos-tests { inherit pkgs lib self; }
      );

      devShells = forEachSystem (pkgs: {
        default = import ./packages/dev-shell.nix { inherit pkgs; };
      });

      formatter = forEachSystem (pkgs: pkgs.nixfmt-tree);
    };
}
