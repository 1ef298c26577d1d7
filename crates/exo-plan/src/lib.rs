//! Pure. Compares the State with what runs on a node and says what its worker does next.
