//! Operations on each element or each row.

use crate::cpu::Cpu;
use crate::lanes::{Lanes, exp, fma, max, per_isa, sum, tanh};
use crate::share::Shared;

/// Elements that one thread does faster than two, with the cost of telling the other.
const GRAIN: usize = 16_384;

/// `out = x / sqrt(mean(x^2) + eps) * weight`, per row of `weight.len()` elements.
///
/// # Panics
/// If `x` and `out` are not the same whole number of rows.
pub fn rms_norm(cpu: &Cpu, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let width = weight.len();
    assert!(x.len() == out.len() && x.len().is_multiple_of(width), "{} elements in rows of {width}", x.len());
    rows(cpu, out, width, |row, out| rms_norm_row(cpu.isa(), &x[row * width..][..width], weight, eps, out));
}

/// [`rms_norm`] in place: of heads, as rows of their width.
///
/// # Panics
/// If `x` is no whole number of rows.
pub fn rms_norm_in_place(cpu: &Cpu, x: &mut [f32], weight: &[f32], eps: f32) {
    let width = weight.len();
    assert!(x.len().is_multiple_of(width), "{} elements in rows of {width}", x.len());
    rows(cpu, x, width, |_, row| rms_norm_row_in_place(cpu.isa(), row, weight, eps));
}

/// `x = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias`, per row of `weight.len()` elements, in place.
///
/// # Panics
/// If `x` is no whole number of rows, or `bias` is no row.
pub fn layer_norm_in_place(cpu: &Cpu, x: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    let width = weight.len();
    assert!(x.len().is_multiple_of(width) && bias.len() == width, "{} elements in rows of {width}", x.len());
    rows(cpu, x, width, |_, row| layer_norm_row_in_place(cpu.isa(), row, weight, bias, eps));
}

/// `gate = gate / (1 + e^-gate) * up`, the gate of Llama's feed-forward network.
pub fn silu_mul(cpu: &Cpu, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "gate and up have the same shape");
    elements(cpu, gate, |start, gate| silu_mul_part(cpu.isa(), gate, &up[start..][..gate.len()]));
}

/// `gate = gelu(gate) * up` with the tanh form of GELU, the gate of Gemma's feed-forward network.
pub fn gelu_mul(cpu: &Cpu, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "gate and up have the same shape");
    elements(cpu, gate, |start, gate| gelu_mul_part(cpu.isa(), gate, &up[start..][..gate.len()]));
}

/// `x = x * P(N < x)` with the normal distribution `N`: GELU as it is defined, BERT's activation.
pub fn gelu(cpu: &Cpu, x: &mut [f32]) {
    elements(cpu, x, |_, x| gelu_part(cpu.isa(), x));
}

/// `gate = g / (1 + e^(-1.702 g)) * (u + 1)` with `g = min(gate, 7)` and `u = up` cut to 7 on both sides, the gate of
/// gpt-oss.
pub fn clamped_silu_mul(cpu: &Cpu, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "gate and up have the same shape");
    elements(cpu, gate, |start, gate| clamped_silu_mul_part(cpu.isa(), gate, &up[start..][..gate.len()]));
}

/// `x = cap * tanh(x / cap)`.
pub fn soft_cap(cpu: &Cpu, x: &mut [f32], cap: f32) {
    elements(cpu, x, |_, x| soft_cap_part(cpu.isa(), x, cap));
}

/// `x += y`, for each row of `y.len()` elements.
///
/// # Panics
/// If `x` is no whole number of rows.
pub fn add_to_rows(cpu: &Cpu, x: &mut [f32], y: &[f32]) {
    assert!(x.len().is_multiple_of(y.len()), "{} elements in rows of {}", x.len(), y.len());
    rows(cpu, x, y.len(), |_, row| row.iter_mut().zip(y).for_each(|(x, y)| *x += y));
}

/// `x += y`.
pub fn add(cpu: &Cpu, x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "both have the same shape");
    elements(cpu, x, |start, x| x.iter_mut().zip(&y[start..]).for_each(|(x, y)| *x += y));
}

/// `x *= factor`.
pub fn scale(cpu: &Cpu, x: &mut [f32], factor: f32) {
    elements(cpu, x, |_, x| x.iter_mut().for_each(|x| *x *= factor));
}

/// `x = e^x / sum(e^x)`, per row of `width` elements.
pub fn softmax(cpu: &Cpu, x: &mut [f32], width: usize) {
    assert!(x.len().is_multiple_of(width), "{} elements in rows of {width}", x.len());
    rows(cpu, x, width, |_, row| softmax_row(cpu.isa(), row));
}

/// Calls `job(row, part of out)` for every row.
fn rows(cpu: &Cpu, out: &mut [f32], width: usize, job: impl Fn(usize, &mut [f32]) + Sync) {
    let n_rows = out.len() / width;
    let out = Shared::new(out);
    cpu.pool().chunks(n_rows, (GRAIN / width).max(1), |_, range| {
        for row in range {
            // SAFETY: every row is handed out once.
            job(row, unsafe { out.part(row * width..(row + 1) * width) });
        }
    });
}

/// Calls `job(start, part of out)` for parts of a slice.
fn elements(cpu: &Cpu, out: &mut [f32], job: impl Fn(usize, &mut [f32]) + Sync) {
    let n = out.len();
    let out = Shared::new(out);
    cpu.pool().chunks(n, GRAIN, |_, range| {
        let start = range.start;
        // SAFETY: the ranges do not overlap.
        job(start, unsafe { out.part(range) });
    });
}

per_isa! { fn rms_norm_row(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) = rms_norm_body }
per_isa! { fn rms_norm_row_in_place(row: &mut [f32], weight: &[f32], eps: f32) = rms_norm_in_place_body }
per_isa! { fn layer_norm_row_in_place(row: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) = layer_norm_body }
per_isa! { fn clamped_silu_mul_part(gate: &mut [f32], up: &[f32]) = clamped_silu_mul_body }
per_isa! { fn soft_cap_part(x: &mut [f32], cap: f32) = soft_cap_body }
per_isa! { fn silu_mul_part(gate: &mut [f32], up: &[f32]) = silu_mul_body }
per_isa! { fn gelu_mul_part(gate: &mut [f32], up: &[f32]) = gelu_mul_body }
per_isa! { fn gelu_part(x: &mut [f32]) = gelu_body }
per_isa! { fn softmax_row(row: &mut [f32]) = softmax_body }

#[inline(always)]
fn rms_norm_body<const FMA: bool>(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let by = inverse_root_mean_square::<FMA>(x, eps);
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * by * weight;
    }
}

#[inline(always)]
fn rms_norm_in_place_body<const FMA: bool>(row: &mut [f32], weight: &[f32], eps: f32) {
    let by = inverse_root_mean_square::<FMA>(row, eps);
    for (x, weight) in row.iter_mut().zip(weight) {
        *x = *x * by * weight;
    }
}

#[inline(always)]
fn layer_norm_body<const FMA: bool>(row: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    let mean = mean(row);
    // What is left is squared: the mean of squares less the square of the mean would lose digits.
    row.iter_mut().for_each(|x| *x -= mean);
    let by = inverse_root_mean_square::<FMA>(row, eps);
    for ((x, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
        *x = fma::<FMA>(*x * by, *weight, *bias);
    }
}

#[inline(always)]
fn mean(x: &[f32]) -> f32 {
    let mut sums: Lanes = [0.0; 16];
    let (whole, rest) = x.as_chunks::<16>();
    for x in whole {
        for lane in 0..16 {
            sums[lane] += x[lane];
        }
    }
    sums.iter_mut().zip(rest).for_each(|(sum, &x)| *sum += x);
    sum(&sums) / x.len() as f32
}

#[inline(always)]
fn inverse_root_mean_square<const FMA: bool>(x: &[f32], eps: f32) -> f32 {
    let mut squares: Lanes = [0.0; 16];
    let (whole, rest) = x.as_chunks::<16>();
    for x in whole {
        for lane in 0..16 {
            squares[lane] = fma::<FMA>(x[lane], x[lane], squares[lane]);
        }
    }
    for (square, &x) in squares.iter_mut().zip(rest) {
        *square = fma::<FMA>(x, x, *square);
    }
    1.0 / (sum(&squares) / x.len() as f32 + eps).sqrt()
}

#[inline(always)]
fn silu_mul_body<const FMA: bool>(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + exp::<FMA>(-*gate)) * up;
    }
}

#[inline(always)]
fn gelu_mul_body<const FMA: bool>(gate: &mut [f32], up: &[f32]) {
    /// 2 * sqrt(2 / pi); x * (1 + tanh(y)) / 2 = x / (1 + e^(-2 y)).
    const TWICE: f32 = 1.595_769;
    for (gate, up) in gate.iter_mut().zip(up) {
        let x = *gate;
        let y = TWICE * x * fma::<FMA>(0.044_715 * x, x, 1.0);
        *gate = x / (1.0 + exp::<FMA>(-y)) * up;
    }
}

/// The tail of the normal distribution by formula 7.1.26 of Abramowitz and Stegun, which is off by less than 1.5e-7.
#[inline(always)]
fn gelu_body<const FMA: bool>(x: &mut [f32]) {
    /// The formula's polynomial in t, the highest power first; halved, for the distribution is half of erf.
    const HALVES: [f32; 5] = [0.530_702_7, -0.726_576, 0.710_706_9, -0.142_248_37, 0.127_414_8];
    /// The formula's 0.3275911, over the root of two.
    const P: f32 = 0.231_641_9;
    for x in x {
        let t = 1.0 / fma::<FMA>(P, x.abs(), 1.0);
        let mut polynomial = HALVES[0];
        for c in &HALVES[1..] {
            polynomial = fma::<FMA>(polynomial, t, *c);
        }
        let tail = *x * (polynomial * t * exp::<FMA>(-0.5 * *x * *x));
        *x = if *x < 0.0 { tail } else { *x - tail };
    }
}

#[inline(always)]
fn clamped_silu_mul_body<const FMA: bool>(gate: &mut [f32], up: &[f32]) {
    const SLOPE: f32 = 1.702;
    const LIMIT: f32 = 7.0;
    for (gate, up) in gate.iter_mut().zip(up) {
        // Comparisons that are false for NaN, so that it is passed on.
        let g = if *gate > LIMIT { LIMIT } else { *gate };
        let u = up.clamp(-LIMIT, LIMIT);
        *gate = g / (1.0 + exp::<FMA>(-SLOPE * g)) * (u + 1.0);
    }
}

#[inline(always)]
fn soft_cap_body<const FMA: bool>(x: &mut [f32], cap: f32) {
    let by = 1.0 / cap;
    for x in x {
        *x = cap * tanh::<FMA>(*x * by);
    }
}

#[inline(always)]
fn softmax_body<const FMA: bool>(row: &mut [f32]) {
    let (whole, rest) = row.as_chunks_mut::<16>();
    let mut largest: Lanes = [f32::NEG_INFINITY; 16];
    for x in whole.iter() {
        for lane in 0..16 {
            largest[lane] = if x[lane] > largest[lane] { x[lane] } else { largest[lane] };
        }
    }
    let largest = rest.iter().fold(max(&largest), |a, &b| a.max(b));
    let mut total: Lanes = [0.0; 16];
    for x in whole.iter_mut() {
        for lane in 0..16 {
            x[lane] = exp::<FMA>(x[lane] - largest);
            total[lane] += x[lane];
        }
    }
    for (x, total) in rest.iter_mut().zip(&mut total) {
        *x = exp::<FMA>(*x - largest);
        *total += *x;
    }
    let by = 1.0 / sum(&total);
    row.iter_mut().for_each(|x| *x *= by);
}
