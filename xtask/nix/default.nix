# A stand-in for the nixpkgs flake, as far as exo's own Nix files use it: they can be evaluated where there is a Nix, but no
# network and no nixpkgs. It evaluates; it builds nothing. `cargo xtask nix` says what that leaves unchecked.
let
  lib = import ./lib;
  pkgsFor = system: import ./pkgs.nix { inherit lib system; };
in
{
  lib = lib // {
    nixosSystem = import ./nixos.nix { inherit lib pkgsFor; };
  };
  legacyPackages = lib.genAttrs [
    "x86_64-linux"
    "aarch64-linux"
  ] pkgsFor;
}
