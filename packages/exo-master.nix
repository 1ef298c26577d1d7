{ program, ... }:
program {
  name = "exo-master";
  description = "The master of an exo cluster: orders commands into events and decides placement";
  tested = [
    "exo-types"
    "exo-state"
    "exo-placement"
    "exo-election"
    "exo-plan"
  ];
}
