# Everything that exo's Nix files say, evaluated against the stand-in: what `cargo xtask nix` reads, as JSON.
{
  root,
  nixpkgs ? import ./.,
}:
let
  inherit (nixpkgs) lib;
  toml = import ./toml.nix { inherit lib; };
  flake = import (root + "/flake.nix");
  self =
    flake.outputs {
      inherit self nixpkgs;
    }
    // {
      outPath = toString root;
    };
  perSystem = lib.mapAttrs (_: lib.mapAttrs (_: package: package.drvPath));
  tests = import (root + "/modules/tests") {
    inherit lib;
    inherit (nixpkgs.lib) nixosSystem;
    exo = self.nixosModules.default;
    system = "x86_64-linux";
  };
  # Each module has to be usable without the others.
  alone = lib.mapAttrs (
    _: module:
    (nixpkgs.lib.nixosSystem {
      modules = [
        module
        { services.exo.enable = true; }
      ];
    }).config
  ) self.nixosModules;
  overlaid = self.overlays.default (nixpkgs.legacyPackages.x86_64-linux // overlaid) { };
  units = config: lib.filter (lib.hasPrefix "exo") (builtins.attrNames config.systemd.services);
  refusals =
    config: map (entry: entry.message) (lib.filter (entry: !entry.assertion) config.assertions);
  systems = lib.mapAttrs (_: system: system.config) self.nixosConfigurations;
in
{
  inherit (flake) inputs;
  inherit (tests) count;
  failures =
    tests.failures
    ++ lib.concatLists (
      lib.mapAttrsToList (name: config: map (message: "${name}: ${message}") (refusals config)) (
        systems // alone
      )
    )
    ++ lib.concatLists (
      lib.mapAttrsToList (
        name: template:
        lib.optional (
          !(builtins.pathExists (template.path + "/flake.nix"))
        ) "template ${name} has no flake.nix"
      ) self.templates
    );
  settings = lib.mapAttrs (_: toml) (
    tests.settings // lib.mapAttrs (_: config: config.services.exo.settings) systems
  );
  instances = lib.mapAttrs (_: toml) tests.instances;
  manifests = tests.manifests // lib.mapAttrs (_: tests.handed) systems;
  options = import (root + "/modules/documentation.nix") {
    inherit lib;
    inherit (self.nixosConfigurations.example-single) options;
  };
  outputs = {
    packages = perSystem self.packages;
    # One of them is the modules' tests, which throws what is among the failures anyway.
    checks = if tests.failures == [ ] then perSystem self.checks else { };
    devShells = perSystem self.devShells;
    formatter = lib.mapAttrs (_: package: package.drvPath) self.formatter;
    apps = self.apps;
    overlay = lib.mapAttrs (_: package: package.drvPath) overlaid;
    systems = lib.mapAttrs (_: units) (systems // alone);
    toplevels = lib.mapAttrs (_: config: config.system.build.toplevel.drvPath) systems;
  };
}
