//! Service. The command line, and all roles in one process.

fn main() {}
