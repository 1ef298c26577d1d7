# nixpkgs' way to a system for those who have packages, but no flake.
let
  nixpkgs = import ../..;
in
nixpkgs.lib.nixosSystem
