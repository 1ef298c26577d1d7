//! Service. The runner: holds one shard of one model.
