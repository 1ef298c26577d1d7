# What works, but hardly as it is meant.
{
  "a firewall open to everybody" = {
    options.services.exo.networking.openFirewall = true;
    says = [ "openFirewall opens exo's ports on all interfaces" ];
  };
  "MLX on Linux" = {
    options.services.exo.hardware.preferredAccelerator = "mlx";
    says = [ "MLX is Apple's" ];
  };
  "a machine that finds nobody" = {
    options.services.exo.networking.multicast = false;
    says = [ "this machine stays alone unless others name it" ];
  };
  "RDMA that the runner does not have" = {
    options.services.exo.networking.rdmaEnabled = true;
    says = [ "links go over TCP" ];
  };
  "services without confinement" = {
    options.services.exo.security.hardening = false;
    says = [ "security.hardening is off" ];
  };
}
