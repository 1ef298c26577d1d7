//! Arithmetic on sixteen lanes, written so that the compiler turns it into vector instructions of whatever set it is
//! inlined into.

/// Sixteen floats.
pub(crate) type Lanes = [f32; 16];

/// Makes `fn $name(isa: Isa, ..)` from a generic body `$body::<FMA>(..)`, compiled once per instruction set.
macro_rules! per_isa {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? = $body:ident) => {
        $(#[$doc])*
        $vis fn $name(isa: $crate::Isa, $($arg: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
            fn avx512($($arg: $type),*) $(-> $result)? {
                $body::<true>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2($($arg: $type),*) $(-> $result)? {
                $body::<true>($($arg),*)
            }
            match isa {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: an `Isa` in use comes from a `Cpu`, which is only made for one that this machine has.
                $crate::Isa::Amx | $crate::Isa::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                $crate::Isa::Avx2 => unsafe { avx2($($arg),*) },
                _ => $body::<false>($($arg),*),
            }
        }
    };
}
pub(crate) use per_isa;

/// `a * b + c`, in one rounding where there is an instruction for it.
#[inline(always)]
pub(crate) fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The sum of the lanes, in a fixed tree.
#[inline(always)]
pub(crate) fn sum(lanes: &Lanes) -> f32 {
    let mut lanes = *lanes;
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
    }
    lanes[0]
}

/// The largest lane.
#[inline(always)]
pub(crate) fn max(lanes: &Lanes) -> f32 {
    let mut lanes = *lanes;
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            lanes[i] = if lanes[i + width] > lanes[i] { lanes[i + width] } else { lanes[i] };
        }
    }
    lanes[0]
}

/// (e^r - 1 - r) / r^2 for |r| up to ln 2 / 2, the highest power first.
pub(crate) const EXP_POLYNOMIAL: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

/// `e^x` to about 2 units in the last place for `x` up to 88; below -87 it stays at about 1e-38.
///
/// Range reduction by ln 2 in two parts and the degree-6 polynomial of Cephes' `expf`.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    /// 1.5 * 2^23: adding it leaves the rounded integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > 88.0 { 88.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = fma::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma::<FMA>(n, -0.693_359_4, x);
    let r = fma::<FMA>(n, 2.121_944_4e-4, r);
    let mut p = EXP_POLYNOMIAL[0];
    for c in &EXP_POLYNOMIAL[1..] {
        p = fma::<FMA>(p, r, *c);
    }
    let y = fma::<FMA>(p, r * r, r) + 1.0;
    y * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// `tanh x` to about 1e-7: exact enough for what it caps, which is small against the cap near zero.
#[inline(always)]
pub(crate) fn tanh<const FMA: bool>(x: f32) -> f32 {
    1.0 + -2.0 / (1.0 + exp::<FMA>(x + x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tanh_is_within_two_units_of_one() {
        for i in -20_000..20_000 {
            let x = i as f32 * 0.001;
            assert!((tanh::<true>(x) - x.tanh()).abs() < 2.5e-7, "tanh({x}) = {}, not {}", tanh::<true>(x), x.tanh());
        }
        assert_eq!((tanh::<false>(1e30), tanh::<false>(-1e30)), (1.0, -1.0));
    }

    #[test]
    fn exp_is_within_three_units_of_the_last_place() {
        for i in -8700..8800 {
            let x = i as f32 * 0.01;
            let (exact, found) = (f64::from(x).exp(), f64::from(exp::<true>(x)));
            assert!((found / exact - 1.0).abs() < 3.0 * f64::from(f32::EPSILON), "exp({x}) = {found}, not {exact}");
        }
        assert!(exp::<false>(f32::NEG_INFINITY) < 2e-38);
        assert!(exp::<false>(f32::NAN).is_nan());
    }
}
