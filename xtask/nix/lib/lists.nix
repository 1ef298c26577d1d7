rec {
  inherit (builtins)
    all
    any
    attrValues
    concatLists
    concatMap
    elem
    elemAt
    filter
    foldl'
    head
    isList
    length
    partition
    ;
  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: values: if condition then values else [ ];
  unique = foldl' (known: value: if elem value known then known else known ++ [ value ]) [ ];
  allUnique = values: length (unique values) == length values;
  subtractLists = without: filter (value: !(elem value without));
}
