//! The tile instructions.

use std::arch::asm;
use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::unpack::Strip;
use crate::activations::{PANEL, PanelBlocks};
use crate::dtype::Dtype;
use crate::weights::BLOCK;

/// How many inputs one scale covers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// 32.
    Whole,
    /// 16: `Q6_K`.
    Half,
}

/// The tile unit of this thread, set up; released when dropped. Bound to its thread, as the configuration is.
pub(super) struct TileUnit {
    shape: Shape,
    /// Results of this round and of the next one.
    dots: Box<[Dots; 2]>,
    thread: PhantomData<*const ()>,
}

/// The operand of LDTILECFG.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Products in flight: results of the first ones are awaited while the last ones are issued.
const DEPTH: usize = 4;

/// The integer sums of 16 rows and 16 outputs, of [`DEPTH`] products.
#[repr(C, align(64))]
struct Dots([[[i32; 16]; PANEL]; DEPTH]);

impl TileUnit {
    /// Tiles 0 and 1 hold activations (16 rows of the inputs of one scale), 2 and 3 weights (a row of 16 groups of four
    /// per four inputs), the others sums.
    ///
    /// # Safety
    /// This machine has AMX, and this process the permission.
    pub(super) unsafe fn new(shape: Shape) -> Self {
        let inputs = if shape == Shape::Whole { BLOCK } else { BLOCK / 2 };
        let mut configuration =
            Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        let (x, weights) = (inputs as u16, inputs as u8 / 4);
        configuration.row_bytes[..8].copy_from_slice(&[x, x, 64, 64, 64, 64, 64, 64]);
        configuration.rows[..8].copy_from_slice(&[16, 16, weights, weights, 16, 16, 16, 16]);
        // SAFETY: the configuration is valid for palette 1; the compiler itself never uses tiles.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, preserves_flags)) };
        let dots = Box::new([const { Dots([[[0; 16]; PANEL]; DEPTH]) }; 2]);
        Self { shape, dots, thread: PhantomData }
    }

    /// Adds the products of a panel and a strip, over the blocks that both have, to `sums` (per row).
    ///
    /// # Safety
    /// The unit was set up for the shape of `dtype`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(super) unsafe fn multiply(
        &mut self,
        dtype: Dtype,
        strip: &Strip,
        panel: &PanelBlocks<'_>,
        sums: &mut [__m512; PANEL],
    ) {
        // SAFETY: passed on.
        unsafe {
            match (self.shape, dtype) {
                (Shape::Half, _) => self.typed::<true, false>(strip, panel, sums),
                (Shape::Whole, Dtype::Q4_K) => self.typed::<false, true>(strip, panel, sums),
                (Shape::Whole, _) => self.typed::<false, false>(strip, panel, sums),
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn typed<const HALVES: bool, const MINIMA: bool>(
        &mut self,
        strip: &Strip,
        panel: &PanelBlocks<'_>,
        sums: &mut [__m512; PANEL],
    ) {
        // Products per block, and blocks per round.
        let per_block = if HALVES { 2 } else { 1 };
        let n_rounds = (panel.scales.len() * per_block).div_ceil(DEPTH);
        let dots = &mut *self.dots;
        let mut local = *sums;
        // SAFETY: the rounds exist; a strip has whole rounds, of which the last one may have more blocks than the panel.
        unsafe { issue::<HALVES>(strip, panel, 0, &mut dots[0]) };
        for round in 0..n_rounds {
            if round + 1 < n_rounds {
                // SAFETY: as above.
                unsafe { issue::<HALVES>(strip, panel, round + 1, &mut dots[(round + 1) % 2]) };
            }
            for (index, dots) in dots[round % 2].0.iter().enumerate() {
                let product = round * DEPTH + index;
                let block = product / per_block;
                if block >= panel.scales.len() {
                    break;
                }
                accumulate(dots, strip.scales[product], &panel.scales[block], &mut local);
                if MINIMA {
                    take_off(strip.minima[block], &panel.scaled_sums[block], &mut local);
                }
            }
        }
        *sums = local;
    }
}

impl Drop for TileUnit {
    fn drop(&mut self) {
        // SAFETY: only made where AMX is; without live tiles a thread is cheaper to switch.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
    }
}

/// Multiplies the four blocks (or halves of two) of a round.
///
/// # Safety
/// The round's first block exists in the panel.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn issue<const HALVES: bool>(strip: &Strip, panel: &PanelBlocks<'_>, round: usize, dots: &mut Dots) {
    let last = panel.bytes.len() - 1;
    let (x, weights): ([*const i8; DEPTH], [*const i8; DEPTH]);
    if HALVES {
        let part = |index: usize| (last.min(round * 2 + index / 2), index % 2);
        x = std::array::from_fn(|i| panel.bytes[part(i).0].as_ptr().wrapping_add(part(i).1 * 16));
        weights = std::array::from_fn(|i| strip.weights[part(i).0].as_ptr().wrapping_add(part(i).1 * 256));
    } else {
        let block = |index: usize| last.min(round * DEPTH + index);
        x = std::array::from_fn(|i| panel.bytes[block(i)].as_ptr());
        weights = std::array::from_fn(|i| strip.weights[block(i)].as_ptr());
    }
    // SAFETY: the tiles are configured (the caller has the unit); `x` points to 16 rows 32 bytes apart and `weights` to eight (of
    // halves four) vectors of 64 bytes; `dots` has room for four times 16 rows of 64 bytes.
    unsafe {
        asm!(
            "tileloadd tmm0, [{x0} + {x_stride}]",
            "tileloadd tmm2, [{w0} + {stride}]",
            "tileloadd tmm1, [{x1} + {x_stride}]",
            "tileloadd tmm3, [{w1} + {stride}]",
            "tilezero tmm4",
            "tdpbssd tmm4, tmm0, tmm2",
            "tilezero tmm5",
            "tdpbssd tmm5, tmm1, tmm3",
            "tileloadd tmm0, [{x2} + {x_stride}]",
            "tileloadd tmm2, [{w2} + {stride}]",
            "tileloadd tmm1, [{x3} + {x_stride}]",
            "tileloadd tmm3, [{w3} + {stride}]",
            "tilezero tmm6",
            "tdpbssd tmm6, tmm0, tmm2",
            "tilezero tmm7",
            "tdpbssd tmm7, tmm1, tmm3",
            "tilestored [{dots} + {stride}], tmm4",
            "tilestored [{dots} + {stride} + 1024], tmm5",
            "tilestored [{dots} + {stride} + 2048], tmm6",
            "tilestored [{dots} + {stride} + 3072], tmm7",
            x0 = in(reg) x[0], x1 = in(reg) x[1], x2 = in(reg) x[2], x3 = in(reg) x[3],
            w0 = in(reg) weights[0], w1 = in(reg) weights[1], w2 = in(reg) weights[2], w3 = in(reg) weights[3],
            x_stride = in(reg) BLOCK,
            stride = in(reg) 64usize,
            dots = in(reg) &raw mut *dots,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, preserves_flags)
        );
    }
}

/// Emits the lines for each of 16 rows, whose sums are in registers.
///
/// In assembly because the compiler loads row scales in pairs and shuffles them apart, which takes the ports that the
/// arithmetic needs.
macro_rules! sixteen_rows {
    ($row:ident, $sums:ident, $($operands:tt)*) => {
        asm!(
            $row!("0", "s0"), $row!("1", "s1"), $row!("2", "s2"), $row!("3", "s3"),
            $row!("4", "s4"), $row!("5", "s5"), $row!("6", "s6"), $row!("7", "s7"),
            $row!("8", "s8"), $row!("9", "s9"), $row!("10", "s10"), $row!("11", "s11"),
            $row!("12", "s12"), $row!("13", "s13"), $row!("14", "s14"), $row!("15", "s15"),
            s0 = inout(zmm_reg) $sums[0], s1 = inout(zmm_reg) $sums[1], s2 = inout(zmm_reg) $sums[2],
            s3 = inout(zmm_reg) $sums[3], s4 = inout(zmm_reg) $sums[4], s5 = inout(zmm_reg) $sums[5],
            s6 = inout(zmm_reg) $sums[6], s7 = inout(zmm_reg) $sums[7], s8 = inout(zmm_reg) $sums[8],
            s9 = inout(zmm_reg) $sums[9], s10 = inout(zmm_reg) $sums[10], s11 = inout(zmm_reg) $sums[11],
            s12 = inout(zmm_reg) $sums[12], s13 = inout(zmm_reg) $sums[13], s14 = inout(zmm_reg) $sums[14],
            s15 = inout(zmm_reg) $sums[15],
            $($operands)*
        )
    };
}

/// `sums += dots * (scale of the output * scale of the row)`.
#[inline]
#[target_feature(enable = "avx512f")]
fn accumulate(dots: &[[i32; 16]; PANEL], scale: __m512, row_scales: &[f32; PANEL], sums: &mut [__m512; PANEL]) {
    macro_rules! row {
        ($row:literal, $sum:literal) => {
            concat!(
                "vcvtdq2ps zmm30, [{dots} + 64*",
                $row,
                "]\n",
                "vmulps zmm31, {scale}, dword ptr [{x} + 4*",
                $row,
                "]{{1to16}}\n",
                "vfmadd231ps {",
                $sum,
                "}, zmm30, zmm31",
            )
        };
    }
    // SAFETY: reads 16 rows of 16 integers and 16 floats.
    unsafe {
        sixteen_rows!(
            row, sums,
            scale = in(zmm_reg) scale, dots = in(reg) dots.as_ptr(), x = in(reg) row_scales.as_ptr(),
            out("zmm30") _, out("zmm31") _, options(nostack, preserves_flags, readonly)
        );
    }
}

/// `sums -= minimum of the output * scaled sum of the row`.
#[inline]
#[target_feature(enable = "avx512f")]
fn take_off(minima: __m512, scaled_sums: &[f32; PANEL], sums: &mut [__m512; PANEL]) {
    macro_rules! row {
        ($row:literal, $sum:literal) => {
            concat!("vfnmadd231ps {", $sum, "}, {minima}, dword ptr [{x} + 4*", $row, "]{{1to16}}")
        };
    }
    // SAFETY: reads 16 floats.
    unsafe {
        sixteen_rows!(
            row, sums,
            minima = in(zmm_reg) minima, x = in(reg) scaled_sums.as_ptr(),
            options(nostack, preserves_flags, readonly)
        );
    }
}
