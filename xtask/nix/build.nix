# A machine's exo.toml, to be built by a real Nix as it is in nixos-rebuild: exo's own program reads it, and what it refuses
# fails the build. `cargo xtask nix` builds a good one and a wrong one.
{
  root,
  # A folder whose bin/ has exo's programs.
  programs,
  settings,
}:
let
  lib = import ./lib;
  pkgsFor = system: import ./pkgs.nix { inherit lib system; } // builders system;
  # What the stand-in only names, made for once: a script that a shell runs, and a file of text.
  builders = system: {
    runCommand =
      name: _arguments: script:
      derivation {
        inherit name system;
        builder = "/bin/sh";
        args = [
          "-ec"
          script
        ];
        PATH = "/usr/bin:/bin";
      };
    formats.toml = _: {
      type = lib.types.anything;
      generate = name: value: builtins.toFile name (import ./toml.nix { inherit lib; } value);
    };
  };
  machine = import ./nixos.nix { inherit lib pkgsFor; } {
    system = builtins.currentSystem;
    modules = [
      (root + "/modules")
      {
        services.exo = {
          enable = true;
          inherit settings;
          package = {
            type = "derivation";
            name = "exo";
            outPath = programs;
          };
        };
      }
    ];
  };
in
machine.config.environment.etc."exo/exo.toml".source
