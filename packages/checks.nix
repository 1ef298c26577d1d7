# What `nix flake check` builds beside the virtual machines of nixos-tests.
{
  pkgs,
  lib,
  self,
  nixpkgs,
}:
let
  inherit (pkgs.stdenv.hostPlatform) system;
  packages = import ./. { inherit pkgs lib; };

  tests = import ../modules/tests {
    inherit lib system;
    inherit (nixpkgs.lib) nixosSystem;
    exo = self.nixosModules.default;
  };
  said = lib.concatStringsSep "\n" tests.failures;

  document = pkgs.writeText "options.md" (
    import ../modules/documentation.nix {
      inherit lib;
      inherit (self.nixosConfigurations.example-single) options;
    }
  );
in
{
  inherit (packages) exo-complete exo-docs;

  modules = pkgs.runCommand "exo-modules" { } (
    if tests.failures == [ ] then
      "echo '${toString tests.count} cases' >$out"
    else
      throw "exo's modules:\n${said}"
  );

  # No name in a Nix file that nobody uses.
  dead-code = pkgs.runCommand "exo-dead-code" { } ''
    ${pkgs.deadnix}/bin/deadnix --fail ${self}
    touch $out
  '';

  # The page of all options is what the options say.
  options = pkgs.runCommand "exo-options" { } ''
    diff --unified ${../docs/options.md} ${document}
    touch $out
  '';
}
