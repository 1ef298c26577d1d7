# `nix flake init --template github:exo-nix/exo#NAME`
let
  single = {
    path = ./single;
    description = "one machine that serves a model";
  };
in
{
  inherit single;
  default = single;
  cluster = {
    path = ./cluster;
    description = "three machines, one model over two of them, a master that may fail";
  };
  k3s = {
    path = ./k3s;
    description = "a k3s server whose pods use the models of the machines";
  };
}
