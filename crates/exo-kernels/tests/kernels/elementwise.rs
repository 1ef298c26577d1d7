//! The small operations against double precision.

use crate::common::{Noise, cpus};
use exo_kernels::{Cpu, Rope, RopeStyle, RopeTable};
use exo_kernels::{
    add, add_to_rows, clamped_silu_mul, gelu, gelu_mul, layer_norm_in_place, rms_norm, rms_norm_in_place, scale,
    silu_mul, soft_cap, softmax,
};

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
            let mut in_place = x.clone();
            rms_norm_in_place(&cpu, &mut in_place, &weight, 1e-5);
            assert_eq!(in_place, out);
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
fn layer_norm_centres_each_row_and_divides_it_by_its_deviation() {
    for cpu in cpus(2) {
        for (rows, width) in [(1, 1), (1, 16), (3, 33), (40, 768)] {
            let noise = |seed, n| Noise::new(seed).floats(n);
            let (weight, bias) = (noise(2, width), noise(6, width));
            // Far from zero, where digits are lost unless the mean is taken away first.
            let mut x: Vec<f32> = noise(1, rows * width).iter().map(|v| v + 4.0).collect();
            let exact: Vec<f64> = x
                .chunks(width)
                .flat_map(|row| {
                    let mean = doubles(row).iter().sum::<f64>() / width as f64;
                    let variance = doubles(row).iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
                    let by = 1.0 / (variance + f64::from(1e-5f32)).sqrt();
                    let normed = doubles(row).into_iter().zip(doubles(&weight)).zip(doubles(&bias));
                    normed.map(move |((x, w), b)| (x - mean) * by * w + b).collect::<Vec<_>>()
                })
                .collect();
            layer_norm_in_place(&cpu, &mut x, &weight, &bias, 1e-5);
            close(&cpu, &x, exact);
        }
    }
}

/// P(N < x) by Simpson's rule, in steps of a thousandth.
fn normal_distribution(x: f64) -> f64 {
    let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let steps = 2 * (x.abs().min(10.0) * 500.0).ceil().max(1.0) as usize;
    let step = x.clamp(-10.0, 10.0) / steps as f64;
    let weight = |at: usize| if at == 0 || at == steps { 1.0 } else { (2 + at % 2 * 2) as f64 };
    0.5 + (0..=steps).map(|at| weight(at) * density(at as f64 * step)).sum::<f64>() * step / 3.0
}

#[test]
fn gelu_is_the_share_of_the_normal_distribution_below() {
    let x: Vec<f32> = (-3000..3000).map(|at| at as f32 * 0.01).collect();
    let exact: Vec<f64> = doubles(&x).into_iter().map(|x| x * normal_distribution(x)).collect();
    for cpu in cpus(2) {
        let mut found = x.clone();
        gelu(&cpu, &mut found);
        close(&cpu, &found, exact.iter().copied());
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
            let mut gate = x.clone();
            clamped_silu_mul(&cpu, &mut gate, &x);
            let clamped = |x: f64| x.min(7.0) / (1.0 + (-1.702 * x.min(7.0)).exp()) * (x.clamp(-7.0, 7.0) + 1.0);
            close(&cpu, &gate, doubles(&x).into_iter().map(clamped));
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

#[test]
fn caps_bend_what_is_large_and_rows_are_added_to_each() {
    for cpu in cpus(2) {
        let x: Vec<f32> = Noise::new(9).floats(40_000).iter().map(|v| v * 90.0).collect();
        let mut out = x.clone();
        soft_cap(&cpu, &mut out, 30.0);
        assert!(out.iter().zip(&x).all(|(out, x)| (out - 30.0 * (x / 30.0).tanh()).abs() < 2e-5));
        let row = Noise::new(10).floats(100);
        let mut out = x.clone();
        add_to_rows(&cpu, &mut out, &row);
        assert!(out.iter().zip(&x).zip(row.iter().cycle()).all(|((out, x), y)| *out == x + y));
    }
}

/// Rotates in double precision; `pair` says which elements of a head belong together.
#[track_caller]
fn check_rope(style: RopeStyle, magnitude: f32, pair: impl Fn(usize) -> (usize, usize)) {
    let (head_dim, n_heads) = (12, 3);
    let frequencies = vec![0.5, 0.03, 1e-3, 7e-6];
    let positions = [0, 1, 77, 131_071];
    let rope = Rope::new(style, frequencies.clone(), magnitude);
    let mut table = RopeTable::default();
    rope.fill(&mut table, &positions);
    for cpu in cpus(2) {
        let mut x = Noise::new(8).floats(positions.len() * n_heads * head_dim);
        let mut exact = doubles(&x);
        for (head, values) in exact.chunks_mut(head_dim).enumerate() {
            for (i, frequency) in frequencies.iter().enumerate() {
                let (sin, cos) = (f64::from(positions[head / n_heads]) * frequency).sin_cos();
                let (sin, cos) = (sin * f64::from(magnitude), cos * f64::from(magnitude));
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
    check_rope(RopeStyle::Interleaved, 1.0, |i| (2 * i, 2 * i + 1));
    check_rope(RopeStyle::HalfSplit, 1.25, |i| (i, i + 4));
}
