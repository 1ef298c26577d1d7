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
      testsOf = pkgs: import ./nixos-tests { inherit pkgs lib self; };
    in
    {
      packages = forEachSystem (pkgs: packagesOf pkgs // { default = (packagesOf pkgs).exo-complete; });

      apps = forEachSystem (
        pkgs:
        lib.mapAttrs
          (name: package: {
            type = "app";
            program = lib.getExe' package name;
            meta.description = package.meta.description;
          })
          {
            inherit (packagesOf pkgs)
              exo
              exo-master
              exo-worker
              exo-api
              exo-runner
              ;
          }
      );

      overlays.default = import ./overlays;

      nixosModules = rec {
        exo-service = import ./modules { inherit self; };
        default = exo-service;
      };

      checks = forEachSystem (pkgs: { inherit (packagesOf pkgs) exo-complete; } // testsOf pkgs);

      devShells = forEachSystem (pkgs: {
        default = import ./packages/dev-shell.nix { inherit pkgs; };
      });

      formatter = forEachSystem (pkgs: pkgs.nixfmt-tree);
    };
}
