# What the modules make of options, and what they refuse. Runs against nixpkgs (`nix flake check`) and against the stand-in
# of xtask/nix (`cargo xtask nix`): both are given as `nixosSystem`.
{
  lib,
  nixosSystem,
  exo,
  system,
}:
let
  machine =
    options:
    (nixosSystem {
      inherit system;
      modules = [
        exo
        {
          boot.loader.grub.enable = false;
          fileSystems."/" = {
            device = "none";
            fsType = "tmpfs";
          };
          system.stateVersion = "26.05";
          services.exo.enable = lib.mkDefault true;
        }
        options
      ];
    }).config;

  messages =
    config: map (entry: entry.message) (lib.filter (entry: !entry.assertion) config.assertions);
  ofExo = lib.filter (lib.hasInfix "services.exo");
  show = texts: if texts == [ ] then "nothing" else lib.concatStringsSep " | " texts;
  # Every expected text is part of exactly one that was said, and nothing else was said.
  compare =
    what: name: expected: said:
    let
      unsaid = lib.filter (text: !(lib.any (lib.hasInfix text) said)) expected;
      unexpected = lib.filter (text: !(lib.any (part: lib.hasInfix part text) expected)) said;
    in
    map (text: "${name}: ${what} \"${text}\" did not come; what came: ${show said}") unsaid
    ++ map (text: "${name}: unexpected ${what}: ${text}") unexpected;

  refused = import ./refused.nix { inherit lib; };
  mistyped = import ./mistyped.nix;
  warned = import ./warned.nix;
  made = import ./made.nix { inherit lib; };

  ofRefused = name: case: compare "refusal" name case.says (ofExo (messages (machine case.options)));
  ofMistyped =
    name: options:
    lib.optional (builtins.tryEval (forced (machine options))).success "${name}: was taken";
  # Everything that an option of exo may end up in.
  forced =
    config:
    builtins.toJSON [
      config.services.exo.settings
      config.services.exo.k3s.manifests
      config.networking.bonds
      (messages config)
      (lib.mapAttrs (_: unit: unit.serviceConfig) (exoUnits config))
    ];
  handed =
    config:
    let
      inherit (config.services.exo) enable k3s;
    in
    lib.optionalAttrs (enable && k3s.integration) k3s.manifests;
  exoUnits = config: lib.filterAttrs (name: _: lib.hasPrefix "exo-" name) config.systemd.services;
  ofWarned =
    name: case:
    let
      config = machine case.options;
    in
    compare "warning" name case.says (ofExo config.warnings)
    ++ compare "refusal" name [ ] (ofExo (messages config));
  ofMade =
    name: case:
    let
      config = machine case.options;
      wrong = lib.filter (part: !part.holds) (case.gives config);
    in
    compare "refusal" name [ ] (ofExo (messages config))
    ++ map (part: "${name}: ${part.what} is ${builtins.toJSON part.is}") wrong;

  each = check: cases: lib.concatLists (lib.mapAttrsToList check cases);
  accepted = warned // made;
in
{
  failures =
    each ofRefused refused ++ each ofMistyped mistyped ++ each ofWarned warned ++ each ofMade made;
  count = lib.length (lib.attrNames (refused // mistyped // accepted));
  # What exo's own programs have to take.
  settings = lib.mapAttrs (_: case: (machine case.options).services.exo.settings) accepted;
  # What Kubernetes has to take.
  manifests = lib.mapAttrs (_: case: handed (machine case.options)) accepted;
  inherit handed;
  instances = lib.mapAttrs (_: case: {
    instances =
      lib.mapAttrs (_: lib.filterAttrs (_: value: value != null))
        (machine case.options).services.exo.instances;
  }) accepted;
}
