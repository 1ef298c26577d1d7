//! Test. What tests share: generated models, free ports, processes that never outlive their test.
