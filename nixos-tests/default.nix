# One NixOS test per claim: NAME.nix says which machines there are, NAME.py beside it what they have to show. The .toml
# describes the machines for both kinds: virtual machines of NixOS, and Debian containers (`cargo xtask machines NAME`).
{
  pkgs,
  lib,
  self,
}:
let
  isTest = name: kind: kind == "regular" && lib.hasSuffix ".nix" name && name != "default.nix";
  names = map (lib.removeSuffix ".nix") (
    lib.attrNames (lib.filterAttrs isTest (builtins.readDir ./.))
  );
  machines = import ./lib/machines.nix { inherit self lib; };
  common = builtins.readFile ./lib/common.py;
  test =
    name:
    pkgs.testers.runNixOSTest {
      inherit name;
      nodes = import (./. + "/${name}.nix") {
        inherit
          self
          pkgs
          lib
          machines
          ;
      };
      testScript = common + builtins.readFile (./. + "/${name}.py");
      # The scripts share words that not every one of them uses.
      skipLint = true;
      skipTypeCheck = true;
    };
in
lib.listToAttrs (map (name: lib.nameValuePair "nixos-${name}" (test name)) names)
