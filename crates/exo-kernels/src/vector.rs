//! Sixteen floats in whatever registers there are, for kernels that are written once.
//!
//! All methods are inlined into kernels that are compiled for an instruction set; they must not be called from anywhere
//! else. That, and that pointers have as many elements as a method reads, is what their safety asks for.

use half::f16;

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

/// Sixteen floats.
pub(crate) trait Vector: Copy {
    /// How many heads attention takes on at once, as far as there are registers for it.
    const HEADS: usize;
    /// Whether multiply-adds round once.
    const FMA: bool;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(at: *const f32) -> Self;
    unsafe fn store(self, at: *mut f32);
    /// Reads sixteen halves.
    unsafe fn load_halves(at: *const u16) -> Self;
    /// Reads sixteen bytes.
    unsafe fn load_bytes(at: *const i8) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    unsafe fn max(self, other: Self) -> Self;
    unsafe fn min(self, other: Self) -> Self;
    /// `self * factor + addend`.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// Two to the power of the integer in the low bits of each lane.
    unsafe fn two_to_low_bits(self) -> Self;

    /// The lanes.
    #[inline(always)]
    unsafe fn lanes(self) -> [f32; 16] {
        let mut lanes = [0.0; 16];
        // SAFETY: sixteen lanes.
        unsafe { self.store(lanes.as_mut_ptr()) };
        lanes
    }

    /// `e^x`, lane by lane the same as [`crate::lanes::exp`].
    #[inline(always)]
    unsafe fn exp(self) -> Self {
        const ROUND: f32 = 12_582_912.0;
        const POLYNOMIAL: [f32; 6] = crate::lanes::EXP_POLYNOMIAL;
        // SAFETY: passed on.
        unsafe {
            let x = self.min(Self::splat(88.0)).max(Self::splat(-87.0));
            let shifted = x.mul_add(Self::splat(std::f32::consts::LOG2_E), Self::splat(ROUND));
            let n = shifted.add(Self::splat(-ROUND));
            let r = n.mul_add(Self::splat(-0.693_359_4), x);
            let r = n.mul_add(Self::splat(2.121_944_4e-4), r);
            let mut p = Self::splat(POLYNOMIAL[0]);
            for c in &POLYNOMIAL[1..] {
                p = p.mul_add(r, Self::splat(*c));
            }
            let y = p.mul_add(r.mul(r), r).add(Self::splat(1.0));
            y.mul(shifted.two_to_low_bits())
        }
    }

    /// `tanh x`, lane by lane the same as [`crate::lanes::tanh`].
    #[inline(always)]
    unsafe fn tanh(self) -> Self {
        // SAFETY: passed on.
        unsafe {
            let one = Self::splat(1.0);
            one.add(Self::splat(-2.0).div(one.add(self.add(self).exp())))
        }
    }
}

/// Sixteen floats in plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct Plain([f32; 16]);

impl Plain {
    #[inline(always)]
    fn map2(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| f(self.0[lane], other.0[lane])))
    }
}

impl Vector for Plain {
    const HEADS: usize = 1;
    const FMA: bool = false;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 16])
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self {
        // SAFETY: the caller's pointer has sixteen floats.
        Self(unsafe { at.cast::<[f32; 16]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: the caller's pointer has sixteen floats.
        unsafe { at.cast::<[f32; 16]>().write_unaligned(self.0) };
    }

    #[inline(always)]
    unsafe fn load_halves(at: *const u16) -> Self {
        // SAFETY: the caller's pointer has sixteen halves.
        let bits = unsafe { at.cast::<[u16; 16]>().read_unaligned() };
        Self(bits.map(|bits| f16::from_bits(bits).to_f32()))
    }

    #[inline(always)]
    unsafe fn load_bytes(at: *const i8) -> Self {
        // SAFETY: the caller's pointer has sixteen bytes.
        Self(unsafe { at.cast::<[i8; 16]>().read_unaligned() }.map(f32::from))
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.map2(other, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.map2(other, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.map2(other, |a, b| a / b)
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.map2(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.map2(other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        self.map2(factor, |a, b| a * b).map2(addend, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn two_to_low_bits(self) -> Self {
        Self(self.0.map(|shifted| f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))))
    }
}
