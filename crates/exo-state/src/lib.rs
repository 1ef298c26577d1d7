//! Pure. Folds events into the cluster's State.
