# What cannot compute here.
{
  config,
  pkgs,
  lib,
  ...
}:
let
  cfg = config.services.exo;
  inherit (cfg) hardware;
  wanted = hardware.preferredAccelerator;
  # A package that says nothing computes on processors.
  can = cfg.package.accelerators or [ "cpu" ];
  isMlxHere = wanted == "mlx" && pkgs.stdenv.hostPlatform.isLinux;
in
{
  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = wanted == null || isMlxHere || lib.elem wanted can;
        message = "services.exo.hardware.preferredAccelerator = \"${toString wanted}\", but ${cfg.package.name} computes on ${lib.concatStringsSep ", " can} only; leave it out, or set services.exo.package to one that can.";
      }
      {
        assertion = !(hardware.requireAccelerator && lib.subtractLists [ "cpu" ] can == [ ]);
        message = "services.exo.hardware.requireAccelerator: ${cfg.package.name} computes on processors only, so that its worker would never start; set services.exo.package to one that uses an accelerator.";
      }
      {
        assertion = !(hardware.requireAccelerator && !hardware.autoDetect);
        message = "services.exo.hardware.requireAccelerator needs services.exo.hardware.autoDetect, which finds out whether there is one.";
      }
    ];
    warnings = lib.optional isMlxHere "services.exo.hardware.preferredAccelerator = \"mlx\": MLX is Apple's, and not on Linux; this machine computes on its processors.";
  };
}
