{ program }:
program {
  name = "exo-master";
  description = "The master of an exo cluster: orders commands into events and decides placement";
}
