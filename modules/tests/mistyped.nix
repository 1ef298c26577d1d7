# Values that no option takes: the types of the module system refuse them.
{
  "a mode that is none".services.exo.mode = "boss";
  "a port that is none".services.exo.apiPort = 65536;
  "a port that is a text".services.exo.networking.discoveryPort = "52416";
  "a memory limit without a unit".services.exo.hardware.memoryLimit = "much";
  "an accelerator that is none".services.exo.hardware.preferredAccelerator = "abacus";
  "a bond mode that is none".services.exo.networking.bond = {
    enable = true;
    interfaces = [ "a" ];
    mode = "together";
  };
  "an instance without a model".services.exo.instances.guide = { };
  "an instance on no node".services.exo.instances.guide = {
    model = "exo-guide";
    minNodes = 0;
  };
  "a way of cutting that is none".services.exo.instances.guide = {
    model = "exo-guide";
    sharding = "slices";
  };
  "an option that does not exist".services.exo.nodes = 3;
  "an option of an instance that does not exist".services.exo.instances.guide = {
    model = "exo-guide";
    replicas = 2;
  };
  "a namespace that Kubernetes refuses".services.exo.k3s = {
    namespace = "My Cluster";
    nodeAddress = "10.0.0.2";
  };
  "manifests that somebody sets".services.exo.k3s.manifests = { };
}
