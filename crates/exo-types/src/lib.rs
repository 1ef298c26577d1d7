//! Pure. The vocabulary of the cluster: ids, nodes, models, shards, instances, runners, events, commands.
