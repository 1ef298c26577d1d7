# One NixOS test per claim: NAME.nix says which machines there are, NAME.py beside it what they have to show.
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
  test =
    name:
    pkgs.testers.runNixOSTest {
      inherit name;
      nodes = import (./. + "/${name}.nix") { inherit self; };
      testScript = builtins.readFile (./. + "/${name}.py");
    };
in
lib.listToAttrs (map (name: lib.nameValuePair "nixos-${name}" (test name)) names)
