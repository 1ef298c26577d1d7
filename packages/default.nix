# Every package of the flake: one file each, over one build.
{ pkgs, lib }:
let
  workspace = import ./workspace.nix { inherit pkgs lib; };
  program = import ./program.nix { inherit pkgs lib workspace; };
  call = file: import file { inherit program; };
in
rec {
  exo-master = call ./exo-master.nix;
  exo-worker = call ./exo-worker.nix;
  exo-api = call ./exo-api.nix;
  exo-runner = call ./exo-runner.nix;
  exo = call ./exo.nix;
  exo-guide = import ./exo-guide.nix { inherit pkgs workspace; };
  exo-dashboard = import ./exo-dashboard.nix { inherit pkgs workspace; };
  exo-docs = import ./exo-docs.nix { inherit pkgs workspace; };
  exo-demo = import ./exo-demo.nix { inherit pkgs exo exo-guide; };
  exo-complete = import ./exo-complete.nix {
    inherit
      pkgs
      lib
      exo-guide
      exo-docs
      ;
    programs = [
      exo
      exo-master
      exo-worker
      exo-api
      exo-runner
    ];
  };
}
