//! Pure. Decides which session a master belongs to.
