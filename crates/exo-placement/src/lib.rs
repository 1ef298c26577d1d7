//! Pure. Decides which nodes hold which layers of a model.
