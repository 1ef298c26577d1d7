{ program }:
program {
  name = "exo";
  description = "exo's command line, and all of its roles in one process";
  starts = [ "exo-runner" ];
}
