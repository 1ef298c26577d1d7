{ program }:
program {
  name = "exo-api";
  description = "The HTTP edge of an exo cluster";
}
