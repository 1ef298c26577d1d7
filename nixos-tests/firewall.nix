# Two machines whose firewall lets through what `networking.openFirewall` says, and nothing else.
{
  machines,
  lib,
  pkgs,
  ...
}:
lib.mapAttrs (_name: configuration: {
  imports = [ configuration ];
  # The module did it already; in containers this program does.
  environment.systemPackages = [ (pkgs.writeShellScriptBin "close-firewall" "true") ];
}) (machines ./firewall.toml)
