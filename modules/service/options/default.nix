{
  imports = [
    ./models.nix
    ./process.nix
    ./roles.nix
    ./security.nix
  ];
}
