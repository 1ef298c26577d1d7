//! One target under libFuzzer: `EXO_FUZZ_TARGET` names it, libFuzzer reads the arguments.

#![no_main]

use exo_fuzz::Target;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("EXO_FUZZ_TARGET").unwrap_or_default();
    exo_fuzz::target(&name).unwrap_or_else(|| panic!("EXO_FUZZ_TARGET is {name:?}, which is no target"))
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
