{ program }:
program {
  name = "exo-runner";
  description = "Holds one shard of one model of an exo cluster";
}
