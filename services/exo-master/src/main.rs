//! Service. The master: orders commands into events and decides placement.

fn main() {}
