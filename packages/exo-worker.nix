{ program }:
program {
  name = "exo-worker";
  description = "The worker of an exo cluster: makes its node match the cluster's State";
  starts = [ "exo-runner" ];
}
