//! The small operations against double precision.

use crate::common::{Noise, cpus};
use exo_kernels::{Cpu, Rope, RopeStyle, RopeTable, add, gelu_mul, rms_norm, scale, silu_mul, softmax};

/// Compares with an error relative to the value, or to one.
#[track_caller]
fn close(cpu: &Cpu, found: &[f32], exact: impl IntoIterator<Item = f64>) {
    let exact: Vec<f64> = exact.into_iter().collect();
    assert_eq!(found.len(), exact.len());
    for (i, (&found, exact)) in found.iter().zip(exact).enumerate() {
        let error = (f64::from(found) - exact).abs() / exact.abs().max(1.0);
        assert!(error < 3e-6, "{}: element {i} is {found}, not {exact}", cpu.isa());
    }
}

fn doubles(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

#[test]
fn rms_norm_divides_each_row_by_its_root_mean_square() {
    for cpu in cpus(2) {
        for (rows, width) in [(1, 1), (1, 16), (3, 33), (40, 2048)] {
            let (x, weight) = (Noise::new(1).floats(rows * width), Noise::new(2).floats(width));
            let mut out = vec![0.0; x.len()];
            rms_norm(&cpu, &x, &weight, 1e-5, &mut out);
            let exact = x.chunks(width).flat_map(|row| {
                let squares = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
                let by = 1.0 / (squares / width as f64 + f64::from(1e-5f32)).sqrt();
                row.iter().zip(&weight).map(move |(&x, &w)| f64::from(x) * by * f64::from(w)).collect::<Vec<_>>()
            });
            close(&cpu, &out, exact);
        }
    }
}

#[test]
fn gates_are_those_of_their_definitions_also_far_from_zero() {
    for cpu in cpus(2) {
        for n in [1, 17, 40_000] {
            let x: Vec<f32> = Noise::new(3).floats(n).iter().map(|v| v * 40.0).collect();
            let up = Noise::new(4).floats(n);
            let pairs = || doubles(&x).into_iter().zip(doubles(&up));
            let mut gate = x.clone();
            silu_mul(&cpu, &mut gate, &up);
            close(&cpu, &gate, pairs().map(|(x, up)| x / (1.0 + (-x).exp()) * up));
            let mut gate = x.clone();
            gelu_mul(&cpu, &mut gate, &up);
            let inner = |x: f64| (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            close(&cpu, &gate, pairs().map(|(x, up)| 0.5 * x * (1.0 + inner(x).tanh()) * up));
        }
    }
}

#[test]
fn softmax_rows_sum_to_one_whatever_their_size() {
    for cpu in cpus(2) {
        for (rows, width, size) in [(1, 1, 1.0), (2, 15, 100.0), (3, 16, 1e30), (5, 1000, 3.0)] {
            let mut x: Vec<f32> = Noise::new(5).floats(rows * width).iter().map(|v| v * size).collect();
            let exact: Vec<f64> = x
                .chunks(width)
                .flat_map(|row| {
                    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let e: Vec<f64> = row.iter().map(|&v| f64::from(v - largest).exp()).collect();
                    let total: f64 = e.iter().sum();
                    e.into_iter().map(move |v| v / total).collect::<Vec<_>>()
                })
                .collect();
            softmax(&cpu, &mut x, width);
            close(&cpu, &x, exact);
        }
    }
}

#[test]
fn sums_and_multiples_are_exact() {
    for cpu in cpus(3) {
        let (x, y) = (Noise::new(6).floats(50_001), Noise::new(7).floats(50_001));
        let mut out = x.clone();
        add(&cpu, &mut out, &y);
        assert!(out.iter().zip(x.iter().zip(&y)).all(|(out, (x, y))| *out == x + y));
        let mut out = x.clone();
        scale(&cpu, &mut out, 0.3);
        assert!(out.iter().zip(&x).all(|(out, x)| *out == x * 0.3));
    }
}

/// Rotates in double precision; `pair` says which elements of a head belong together.
#[track_caller]
fn check_rope(style: RopeStyle, factors: Option<&[f32]>, pair: impl Fn(usize) -> (usize, usize)) {
    let (dims, head_dim, n_heads) = (8, 12, 3);
    let positions = [0, 1, 77, 131_071];
    let rope = Rope::new(style, dims, 500_000.0, 0.5, factors);
    let mut table = RopeTable::default();
    rope.fill(&mut table, &positions);
    for cpu in cpus(2) {
        let mut x = Noise::new(8).floats(positions.len() * n_heads * head_dim);
        let mut exact = doubles(&x);
        for (head, values) in exact.chunks_mut(head_dim).enumerate() {
            for i in 0..dims / 2 {
                let factor = factors.map_or(1.0, |factors| f64::from(factors[i]));
                let frequency = 500_000f64.powf(-2.0 * i as f64 / dims as f64) * 0.5 / factor;
                let (sin, cos) = (f64::from(positions[head / n_heads]) * frequency).sin_cos();
                let (a, b) = pair(i);
                (values[a], values[b]) = (values[a] * cos - values[b] * sin, values[a] * sin + values[b] * cos);
            }
        }
        rope.apply(&cpu, &table, &mut x, n_heads, head_dim);
        close(&cpu, &x, exact);
    }
}

#[test]
fn both_styles_of_rotation_turn_their_pairs_by_position_times_frequency() {
    check_rope(RopeStyle::Interleaved, None, |i| (2 * i, 2 * i + 1));
    check_rope(RopeStyle::HalfSplit, Some(&[1.0, 2.0, 8.0, 32.0]), |i| (i, i + 4));
}
