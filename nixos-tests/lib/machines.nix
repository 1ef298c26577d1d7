# The machines that a test's .toml describes, as NixOS configurations: the same file that containers are made from.
{ self, lib }:
file:
let
  configuration =
    machine:
    { pkgs, ... }:
    {
      imports = [ self.nixosModules.default ];
      services.exo = {
        enable = true;
        settings = machine.settings or { };
        networking.openFirewall = true;
      };
      environment.systemPackages = [ pkgs.curl ];
      virtualisation = {
        cores = 2;
        memorySize = 2048;
        vlans = machine.vlans or [ 1 ];
      };
    };
in
lib.mapAttrs (_name: configuration) (lib.importTOML file).machines
