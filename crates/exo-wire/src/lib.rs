//! Pure. The HTTP bodies of the APIs that exo speaks, and their translation to exo's own requests.
