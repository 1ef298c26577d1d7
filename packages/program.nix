# One program of the workspace as a package.
{
  pkgs,
  lib,
  workspace,
}:
{
  name,
  description,
  # Programs that this one starts: it looks for them in its own folder.
  starts ? [ ],
}:
pkgs.runCommand "${name}-${workspace.version}"
  {
    pname = name;
    inherit (workspace) version;
    meta = workspace.meta // {
      inherit description;
      mainProgram = name;
    };
  }
  ''
    mkdir -p $out/bin
    for program in ${lib.escapeShellArgs ([ name ] ++ starts)}; do
      # A copy, not a link: a program finds its own folder through /proc, which follows links.
      cp ${workspace}/bin/$program $out/bin/
    done
  ''
