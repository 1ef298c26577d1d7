# Types of options, with nixpkgs' descriptions.
lib:
let
  inherit (builtins)
    all
    concatLists
    concatMap
    concatStringsSep
    elem
    head
    isAttrs
    isBool
    isInt
    isList
    isString
    length
    match
    ;
  inherit (lib.evalModules) merge push;

  equal =
    loc: values:
    if all (value: value == head values) values then
      head values
    else
      throw "The option `${concatStringsSep "." loc}' has conflicting definition values.";

  make =
    {
      name,
      description ? name,
      descriptionClass ? "noun",
      merge ? equal,
      getSubOptions ? _: { },
      ...
    }@type:
    type
    // {
      _type = "option-type";
      inherit
        description
        descriptionClass
        merge
        getSubOptions
        ;
    };

  # A phrase of several words inside of another stands in parentheses.
  inside =
    type:
    if
      elem type.descriptionClass [
        "noun"
        "composite"
      ]
    then
      type.description
    else
      "(${type.description})";

  between =
    low: high:
    make {
      name = "intBetween";
      description = "integer between ${toString low} and ${toString high} (both inclusive)";
      check = value: isInt value && value >= low && value <= high;
    };
  isPath =
    value:
    builtins.isPath value
    || (isString value && builtins.substring 0 1 value == "/")
    || lib.isDerivation value;
in
rec {
  bool = make {
    name = "bool";
    description = "boolean";
    check = isBool;
  };
  int = make {
    name = "int";
    description = "signed integer";
    check = isInt;
  };
  str = make {
    name = "str";
    description = "string";
    check = isString;
  };
  lines = make {
    name = "separatedString";
    description = "strings concatenated with \"\\n\"";
    check = isString;
    merge = _: concatStringsSep "\n";
  };
  path = make {
    name = "path";
    description = "absolute path";
    check = isPath;
  };
  package = make {
    name = "package";
    check = lib.isDerivation;
  };
  attrs = make {
    name = "attrs";
    description = "attribute set";
    descriptionClass = null;
    check = isAttrs;
    merge = _: builtins.foldl' (one: other: one // other) { };
  };
  raw = make {
    name = "raw";
    description = "raw value";
    check = _: true;
  };
  port = make {
    name = "unsignedInt16";
    description = "16 bit unsigned integer; between 0 and 65535 (both inclusive)";
    check = value: isInt value && value >= 0 && value <= 65535;
  };
  ints = {
    inherit between;
    positive = make {
      name = "positiveInt";
      description = "positive integer, meaning >0";
      descriptionClass = "nonRestrictiveClause";
      check = value: isInt value && value > 0;
    };
    unsigned = make {
      name = "unsignedInt";
      description = "unsigned integer, meaning >=0";
      descriptionClass = "nonRestrictiveClause";
      check = value: isInt value && value >= 0;
    };
  };
  enum =
    values:
    make {
      name = "enum";
      description = "one of ${lib.concatMapStringsSep ", " builtins.toJSON values}";
      descriptionClass = "conjunction";
      check = value: elem value values;
    };
  strMatching =
    pattern:
    make {
      name = "strMatching";
      description = "string matching the pattern ${pattern}";
      check = value: isString value && match pattern value != null;
    };
  nullOr =
    type:
    make {
      name = "nullOr";
      description = "null or ${
        if
          elem type.descriptionClass [
            "noun"
            "conjunction"
          ]
        then
          type.description
        else
          "(${type.description})"
      }";
      descriptionClass = "conjunction";
      check = value: value == null || type.check value;
      merge =
        loc: values:
        if all (value: value == null) values then
          null
        else if elem null values then
          throw "The option `${concatStringsSep "." loc}' is defined both null and not null."
        else
          type.merge loc values;
      getSubOptions = type.getSubOptions;
    };
  either =
    one: other:
    make {
      name = "either";
      description =
        one.description
        + (if one.descriptionClass == "nonRestrictiveClause" then ", or " else " or ")
        + other.description;
      descriptionClass = "conjunction";
      check = value: one.check value || other.check value;
      merge = loc: values: if all one.check values then one.merge loc values else other.merge loc values;
    };
  listOf =
    type:
    make {
      name = "listOf";
      description = "list of ${inside type}";
      descriptionClass = "composite";
      check = isList;
      emptyValue = [ ];
      merge = loc: lists: map (value: merge (loc ++ [ "*" ]) type [ value ]) (concatLists lists);
      getSubOptions = prefix: type.getSubOptions (prefix ++ [ "*" ]);
    };
  attrsOf =
    type:
    make {
      name = "attrsOf";
      description = "attribute set of ${inside type}";
      descriptionClass = "composite";
      check = isAttrs;
      emptyValue = { };
      merge =
        loc: definitions:
        let
          sets = concatMap push definitions;
          names = lib.unique (concatMap builtins.attrNames sets);
          of = name: concatMap (set: lib.optional (set ? ${name}) set.${name}) sets;
          # A name whose definitions all stand under conditions that do not hold is not there.
          holds =
            value:
            if !(isAttrs value) then
              true
            else if value._type or null == "if" then
              value.condition && holds value.content
            else if value._type or null == "override" then
              holds value.content
            else if value._type or null == "merge" then
              builtins.any holds value.contents
            else
              true;
          there = builtins.filter (name: builtins.any holds (of name)) names;
        in
        lib.genAttrs there (name: merge (loc ++ [ name ]) type (of name));
      getSubOptions = prefix: type.getSubOptions (prefix ++ [ "<name>" ]);
    };
  submodule =
    module:
    let
      evaluate =
        prefix: values:
        lib.evalModules {
          modules = [ module ] ++ map (value: { config = value; }) values;
          inherit prefix;
        };
    in
    make {
      name = "submodule";
      descriptionClass = null;
      check = isAttrs;
      emptyValue = (evaluate [ ] [ ]).config;
      merge = loc: values: (evaluate loc values).config;
      getSubOptions = prefix: (evaluate prefix [ ]).options;
    };

  # Sets are merged, lists too; everything else has to be equal.
  anything = make {
    name = "anything";
    check = _: true;
    merge =
      loc: values:
      if all isAttrs values && !(lib.isDerivation (head values)) then
        (attrsOf anything).merge loc values
      else if all isList values && length values > 1 then
        concatLists values
      else
        equal loc values;
  };
}
