# Three machines, one of which sleeps and is woken by its clock.
{
  machines,
  lib,
  pkgs,
  ...
}:
lib.mapAttrs (_name: configuration: {
  imports = [ configuration ];
  environment.systemPackages = [
    (pkgs.writeShellScriptBin "prepare-sleep" "true")
    (pkgs.writeShellScriptBin "fall-asleep" ''
      echo +10 >/sys/class/rtc/rtc0/wakealarm
      systemctl suspend
    '')
  ];
}) (machines ./sleep-leaves.toml)
