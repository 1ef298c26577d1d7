//! Every operation on every instruction set of this machine, against double precision and against itself.

mod attention;
mod common;
mod elementwise;
mod matmul;
mod matrix;
mod stored;
