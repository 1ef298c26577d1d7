rec {
  inherit (builtins)
    concatStringsSep
    isString
    replaceStrings
    stringLength
    substring
    ;
  concatStrings = concatStringsSep "";
  concatMapStringsSep =
    separator: change: values:
    concatStringsSep separator (map change values);
  concatMapStrings = concatMapStringsSep "";
  optionalString = condition: text: if condition then text else "";
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  hasSuffix =
    suffix: text:
    let
      before = stringLength text - stringLength suffix;
    in
    before >= 0 && substring before (-1) text == suffix;
  hasInfix = part: text: replaceStrings [ part ] [ "" ] text != text || part == "";
  removePrefix =
    prefix: text: if hasPrefix prefix text then substring (stringLength prefix) (-1) text else text;
  removeSuffix =
    suffix: text:
    if hasSuffix suffix text then substring 0 (stringLength text - stringLength suffix) text else text;
  characters = text: builtins.genList (index: substring index 1 text) (stringLength text);
  splitString =
    separator: text:
    let
      step =
        parts: character:
        if character == separator then
          parts ++ [ "" ]
        else
          builtins.genList (
            index:
            if index == builtins.length parts - 1 then
              builtins.elemAt parts index + character
            else
              builtins.elemAt parts index
          ) (builtins.length parts);
    in
    builtins.foldl' step [ "" ] (characters text);
  toInt = builtins.fromJSON;
  escapeShellArg =
    value:
    let
      text = toString value;
    in
    if builtins.match "[[:alnum:],._+:@%/-]+" text != null then
      text
    else
      "'${replaceStrings [ "'" ] [ "'\\''" ] text}'";
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;
  # Only for what device units need.
  escapeC =
    characters: replaceStrings characters (map (character: { "-" = "\\x2d"; }.${character}) characters);
}
