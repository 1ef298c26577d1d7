# nixpkgs' lib, as far as exo's own Nix files use it, with nixpkgs' names and meaning.
let
  attrsets = import ./attrsets.nix;
  strings = import ./strings.nix;
  lists = import ./lists.nix;
  options = import ./options.nix;
  lib =
    lists
    // strings
    // attrsets
    // options
    // {
      inherit strings;
      types = import ./types.nix lib;
      fileset = import ./fileset.nix lib;
      evalModules = import ./modules.nix lib;
      trivial.release = "26.05";
      licenses.asl20 = {
        spdxId = "Apache-2.0";
      };
      platforms.linux = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      importTOML = path: builtins.fromTOML (builtins.readFile path);
      assertMsg = condition: message: if condition then true else throw message;
      versionAtLeast = one: other: builtins.compareVersions one other >= 0;
      getExe = package: "${package}/bin/${package.meta.mainProgram}";
      getExe' = package: name: "${package}/bin/${name}";
    };
in
lib
