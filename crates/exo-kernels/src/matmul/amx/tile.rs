//! The tile instructions.

use std::arch::asm;
use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::unpack::Strip;
use crate::activations::{PANEL, PanelBlocks};
use crate::dtype::Layout;
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
    dots: Box<[Dots; DEPTH]>,
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

/// Products in flight, each with its own tile of sums and its own room for results.
const DEPTH: usize = 4;
/// A product's sums are stored so many steps after it was issued: the multiplier is that slow.
const STORE_AFTER: usize = 2;
/// And read one step later, when they have left the store buffer.
const READ_AFTER: usize = 3;

/// The integer sums of 16 rows and 16 outputs.
#[repr(C, align(64))]
struct Dots([[i32; 16]; PANEL]);

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
        let dots = Box::new([const { Dots([[0; 16]; PANEL]) }; DEPTH]);
        Self { shape, dots, thread: PhantomData }
    }

    /// Adds the products of a panel and a strip, over the blocks that both have, to `sums` (per row).
    ///
    /// # Safety
    /// The unit was set up for the shape of `layout`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(super) unsafe fn multiply(
        &mut self,
        layout: Layout,
        strip: &Strip,
        panel: &PanelBlocks<'_>,
        sums: &mut [__m512; PANEL],
    ) {
        // SAFETY: passed on.
        unsafe {
            match (self.shape, layout) {
                (Shape::Half, _) => self.typed::<true, false>(strip, panel, sums),
                (Shape::Whole, Layout::Q4_K) => self.typed::<false, true>(strip, panel, sums),
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
        let n = panel.scales.len() * if HALVES { 2 } else { 1 };
        let mut local = *sums;
        // Each step issues a product, stores an earlier one and adds up a still earlier one, so that the multiplier, the
        // stores and the arithmetic overlap. Four steps in a row, as tiles have fixed names.
        for first in (0..n + READ_AFTER).step_by(DEPTH) {
            // SAFETY: passed on; steps behind the end only finish what was issued.
            unsafe {
                self.step::<0, HALVES, MINIMA>(first, n, strip, panel, &mut local);
                self.step::<1, HALVES, MINIMA>(first + 1, n, strip, panel, &mut local);
                self.step::<2, HALVES, MINIMA>(first + 2, n, strip, panel, &mut local);
                self.step::<3, HALVES, MINIMA>(first + 3, n, strip, panel, &mut local);
            }
        }
        *sums = local;
    }

    /// Step `index` of `n` products; `SLOT` is `index` modulo [`DEPTH`].
    ///
    /// # Safety
    /// The unit was set up for `HALVES`; strip and panel have the `n` products.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn step<const SLOT: usize, const HALVES: bool, const MINIMA: bool>(
        &mut self,
        index: usize,
        n: usize,
        strip: &Strip,
        panel: &PanelBlocks<'_>,
        sums: &mut [__m512; PANEL],
    ) {
        // SAFETY: products below `n` exist; what is stored was issued, and what is read was stored.
        unsafe {
            if index < n {
                let (block, x, weights) =
                    if HALVES { (index / 2, index % 2 * 16, index % 2 * 256) } else { (index, 0, 0) };
                let x = panel.bytes.get_unchecked(block).as_ptr().add(x);
                issue::<SLOT>(x, strip.weights.get_unchecked(block).as_ptr().add(weights));
            }
            if index >= STORE_AFTER && index < n + STORE_AFTER {
                self.store::<SLOT>();
            }
            if index >= READ_AFTER && index < n + READ_AFTER {
                let product = index - READ_AFTER;
                let block = if HALVES { product / 2 } else { product };
                let dots = &self.dots[(SLOT + DEPTH - READ_AFTER) % DEPTH];
                let scales = panel.scales.get_unchecked(block);
                accumulate(dots, *strip.scales.get_unchecked(product), scales, sums);
                if MINIMA {
                    take_off(*strip.minima.get_unchecked(block), panel.scaled_sums.get_unchecked(block), sums);
                }
            }
        }
    }

    /// Stores the sums that were issued [`STORE_AFTER`] steps before the one of `SLOT`.
    ///
    /// # Safety
    /// They were.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn store<const SLOT: usize>(&mut self) {
        let dots = &raw mut self.dots[(SLOT + DEPTH - STORE_AFTER) % DEPTH];
        macro_rules! store {
            ($tile:literal) => {
                asm!(
                    concat!("tilestored [{dots} + {stride}], ", $tile),
                    dots = in(reg) dots, stride = in(reg) 64usize, options(nostack, preserves_flags)
                )
            };
        }
        // SAFETY: the tiles are configured (`self` lives), and `dots` has room for 16 rows of 64 bytes.
        unsafe {
            match (SLOT + DEPTH - STORE_AFTER) % DEPTH {
                0 => store!("tmm4"),
                1 => store!("tmm5"),
                2 => store!("tmm6"),
                _ => store!("tmm7"),
            }
        }
    }
}

/// Starts one product, in the tiles of `SLOT`.
///
/// # Safety
/// The tiles are configured; `x` points to 16 rows 32 bytes apart, `weights` to vectors of 64 bytes, as many as the
/// configuration says.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn issue<const SLOT: usize>(x: *const i8, weights: *const i8) {
    macro_rules! issue {
        ($x:tt, $weights:tt, $sums:tt) => {
            asm!(
                concat!("tileloadd ", $x, ", [{x} + {x_stride}]"),
                concat!("tileloadd ", $weights, ", [{weights} + {stride}]"),
                concat!("tilezero ", $sums),
                concat!("tdpbssd ", $sums, ", ", $x, ", ", $weights),
                x = in(reg) x, x_stride = in(reg) BLOCK,
                weights = in(reg) weights, stride = in(reg) 64usize,
                out($x) _, out($weights) _, out($sums) _,
                options(nostack, preserves_flags, readonly)
            )
        };
    }
    // SAFETY: the caller's promise. The sums stay in their tile until `store`: nothing else uses tiles.
    unsafe {
        match SLOT {
            0 => issue!("tmm0", "tmm2", "tmm4"),
            1 => issue!("tmm1", "tmm3", "tmm5"),
            2 => issue!("tmm0", "tmm2", "tmm6"),
            _ => issue!("tmm1", "tmm3", "tmm7"),
        }
    }
}

impl Drop for TileUnit {
    fn drop(&mut self) {
        // SAFETY: only made where AMX is; without live tiles a thread is cheaper to switch.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
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
fn accumulate(dots: &Dots, scale: __m512, row_scales: &[f32; PANEL], sums: &mut [__m512; PANEL]) {
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
            scale = in(zmm_reg) scale, dots = in(reg) &raw const *dots, x = in(reg) row_scales.as_ptr(),
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
