//! Whether there are tiles, and the permission to use them.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;

/// Leaf 7, EDX: bf16 tiles, tiles, int8 tiles.
const FEATURES: u32 = 1 << 22 | 1 << 24 | 1 << 25;
/// Leaf 1, ECX: the operating system uses XSAVE.
const OSXSAVE: u32 = 1 << 27;
/// XCR0: configuration and data of tiles are saved with a thread.
const TILE_STATE: u32 = 1 << 17 | 1 << 18;

/// Whether this machine has AMX with int8 and bf16, and the kernel lets this process use it.
///
/// The first call asks the kernel for the permission, for all threads of the process.
pub(crate) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_features() && request_permission())
}

fn has_features() -> bool {
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    let (low, _high): (u32, u32);
    // SAFETY: XGETBV of register 0 exists where OSXSAVE is set.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _high, options(nomem, nostack, preserves_flags)) };
    __cpuid_count(7, 0).edx & FEATURES == FEATURES && low & TILE_STATE == TILE_STATE
}

/// Tile data is large, so Linux only saves it for processes that ask (arch_prctl(2), ARCH_REQ_XCOMP_PERM).
#[cfg(target_os = "linux")]
fn request_permission() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the call takes two integers and changes no memory of this process.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn request_permission() -> bool {
    false
}
