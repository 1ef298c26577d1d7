//! Engine. The kernels of the CPU device: every instruction set behind one table.
