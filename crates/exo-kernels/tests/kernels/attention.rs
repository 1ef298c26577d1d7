//! Attention against double precision, in every shape and mixture of sequences.

use crate::common::{Noise, cpus};
use exo_kernels::{Attending, AttentionBounds, AttentionShape, Cpu, KvCache, KvFormat, PAGE, attention};

/// A sequence: everything that was appended, and how many rows of it are new.
struct Sequence {
    keys: Vec<f32>,
    values: Vec<f32>,
    rows: usize,
    format: KvFormat,
}

const FORMATS: [KvFormat; 2] = [KvFormat::F16, KvFormat::Q8];

impl Sequence {
    fn random(format: KvFormat, shape: &AttentionShape, len: usize, rows: usize, seed: u64) -> Self {
        let width = shape.n_kv_heads * shape.head_dim;
        let mut noise = Noise::new(seed);
        Self { keys: noise.floats(len * width), values: noise.floats(len * width), rows, format }
    }

    /// Appended in two parts, as a prompt and what came after it.
    fn cache(&self, cpu: &Cpu, shape: &AttentionShape) -> KvCache {
        let mut cache = KvCache::new(self.format, shape.n_kv_heads, shape.head_dim);
        let width = shape.n_kv_heads * shape.head_dim;
        let cut = self.keys.len() / width / 3 * width;
        cache.append(cpu, &self.keys[..cut], &self.values[..cut]);
        cache.append(cpu, &self.keys[cut..], &self.values[cut..]);
        cache
    }
}

fn shape(n_heads: usize, n_kv_heads: usize, head_dim: usize) -> AttentionShape {
    AttentionShape { n_heads, n_kv_heads, head_dim, scale: 1.0 / (head_dim as f32).sqrt() }
}

const UNBOUND: AttentionBounds<'_> = AttentionBounds { window: None, soft_cap: None, sinks: None, sees_ahead: false };

/// One head of one row in double precision.
fn exact(
    shape: &AttentionShape,
    bounds: &AttentionBounds<'_>,
    sequence: &Sequence,
    q: &[f32],
    head: usize,
    len: usize,
) -> Vec<f64> {
    let kv_head = head / (shape.n_heads / shape.n_kv_heads);
    let width = shape.n_kv_heads * shape.head_dim;
    let part = |data: &[f32], position: usize| {
        data[position * width + kv_head * shape.head_dim..][..shape.head_dim].iter().map(|&v| f64::from(v)).collect()
    };
    let dot = |key: Vec<f64>| key.iter().zip(q).map(|(k, &q)| k * f64::from(q)).sum::<f64>() * f64::from(shape.scale);
    let capped = |score: f64| bounds.soft_cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh());
    let first = bounds.window.map_or(0, |window| len.saturating_sub(window));
    let scores: Vec<f64> = (first..len).map(|position| capped(dot(part(&sequence.keys, position)))).collect();
    let sink = bounds.sinks.map_or(f64::NEG_INFINITY, |sinks| f64::from(sinks[head]));
    let largest = scores.iter().copied().fold(sink, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let total: f64 = weights.iter().sum::<f64>() + (sink - largest).exp();
    let mut out = vec![0.0; shape.head_dim];
    for (position, weight) in (first..len).zip(&weights) {
        let value: Vec<f64> = part(&sequence.values, position);
        out.iter_mut().zip(value).for_each(|(out, value)| *out += weight / total * value);
    }
    out
}

fn run(cpu: &Cpu, shape: &AttentionShape, sequences: &[Sequence], q: &[f32]) -> Vec<f32> {
    run_bound(cpu, shape, &UNBOUND, sequences, q)
}

fn run_bound(
    cpu: &Cpu,
    shape: &AttentionShape,
    bounds: &AttentionBounds<'_>,
    sequences: &[Sequence],
    q: &[f32],
) -> Vec<f32> {
    let caches: Vec<_> = sequences.iter().map(|sequence| sequence.cache(cpu, shape)).collect();
    let attending: Vec<_> =
        caches.iter().zip(sequences).map(|(cache, sequence)| Attending { cache, rows: sequence.rows }).collect();
    let mut out = vec![f32::NAN; q.len()];
    attention(cpu, shape, bounds, q, &attending, &mut out);
    out
}

#[track_caller]
fn check(cpu: &Cpu, shape: &AttentionShape, lengths: &[(usize, usize)]) {
    check_bound(cpu, shape, &UNBOUND, lengths);
}

#[track_caller]
fn check_bound(cpu: &Cpu, shape: &AttentionShape, bounds: &AttentionBounds<'_>, lengths: &[(usize, usize)]) {
    FORMATS.into_iter().for_each(|format| check_format(cpu, shape, bounds, lengths, format));
}

#[track_caller]
fn check_format(
    cpu: &Cpu,
    shape: &AttentionShape,
    bounds: &AttentionBounds<'_>,
    lengths: &[(usize, usize)],
    format: KvFormat,
) {
    // Halves round by 2^-11 of values up to 3, and of scores up to 10; bytes by 2^-8.
    let bound = if format == KvFormat::F16 { 4e-3 } else { 4e-2 };
    let random = |&(len, rows): &(usize, usize)| Sequence::random(format, shape, len, rows, len as u64);
    let sequences: Vec<_> = lengths.iter().map(random).collect();
    let n_rows: usize = lengths.iter().map(|length| length.1).sum();
    let q = Noise::new(5).floats(n_rows * shape.n_heads * shape.head_dim);
    let out = run_bound(cpu, shape, bounds, &sequences, &q);
    let mut heads = q.chunks(shape.head_dim).zip(out.chunks(shape.head_dim));
    for (sequence, &(len, rows)) in sequences.iter().zip(lengths) {
        for row in 0..rows {
            for head in 0..shape.n_heads {
                let (q, found) = heads.next().expect("a head for each");
                let exact =
                    exact(shape, bounds, sequence, q, head, if bounds.sees_ahead { len } else { len - rows + row + 1 });
                for (found, exact) in found.iter().zip(exact) {
                    let error = (f64::from(*found) - exact).abs();
                    let place = format!("{} {format:?} {shape:?} {lengths:?} row {row} head {head}", cpu.isa());
                    assert!(error < bound, "{place}: {found} {exact}");
                }
            }
        }
    }
}

#[test]
fn attention_is_within_the_rounding_of_what_is_stored() {
    for cpu in cpus(2) {
        for (n_heads, n_kv_heads, head_dim) in
            [(1, 1, 8), (4, 1, 64), (6, 2, 16), (14, 2, 64), (8, 8, 40), (16, 1, 128)]
        {
            let shape = shape(n_heads, n_kv_heads, head_dim);
            check(&cpu, &shape, &[(1, 1)]);
            check(&cpu, &shape, &[(PAGE, 1), (PAGE + 1, 1), (200, 1)]);
            check(&cpu, &shape, &[(37, 37), (130, 5), (3, 1)]);
        }
        check(&cpu, &shape(4, 2, 64), &[(1024, 1), (1025, 2), (2500, 1)]);
    }
}

#[test]
fn windows_caps_and_sinks_are_those_of_their_definitions() {
    let lengths = [(1, 1), (37, 37), (PAGE + 1, 2), (1500, 3)];
    let sinks = [-40.0, 0.0, 2.5, 90.0];
    for cpu in cpus(2) {
        for (n_kv_heads, head_dim) in [(4, 16), (2, 64), (1, 40)] {
            let shape = shape(4, n_kv_heads, head_dim);
            for window in [1, 20, PAGE, 1030, 5000] {
                check_bound(&cpu, &shape, &AttentionBounds { window: Some(window), ..UNBOUND }, &lengths);
            }
            check_bound(&cpu, &shape, &AttentionBounds { soft_cap: Some(1.5), ..UNBOUND }, &lengths);
            check_bound(&cpu, &shape, &AttentionBounds { sinks: Some(&sinks), ..UNBOUND }, &lengths);
            let all = AttentionBounds { window: Some(30), soft_cap: Some(2.0), sinks: Some(&sinks), ..UNBOUND };
            check_bound(&cpu, &shape, &all, &lengths);
        }
    }
}

#[test]
fn rows_that_see_ahead_attend_to_their_whole_sequence_and_no_other() {
    let lengths = [(1, 1), (37, 37), (PAGE + 1, PAGE + 1), (1500, 3)];
    for cpu in cpus(2) {
        for (n_kv_heads, head_dim) in [(4, 32), (2, 64)] {
            check_bound(
                &cpu,
                &shape(4, n_kv_heads, head_dim),
                &AttentionBounds { sees_ahead: true, ..UNBOUND },
                &lengths,
            );
        }
    }
}

#[test]
fn a_row_has_the_same_bits_in_decode_in_prefill_in_a_batch_and_on_any_number_of_threads() {
    for (one, three) in cpus(1).iter().zip(&cpus(3)) {
        for format in FORMATS {
            let shape = shape(8, 2, 64);
            let width = shape.n_heads * shape.head_dim;
            let long = Sequence::random(format, &shape, 1100, 90, 1);
            let q = Noise::new(2).floats(91 * width);
            let other = Sequence::random(format, &shape, 70, 1, 2);
            let batch = run(three, &shape, &[Sequence { rows: 90, ..clone(&long) }, other], &q);
            for row in [0, 1, 45, 89] {
                let mut single = clone(&long);
                let len = 1100 - 90 + row + 1;
                single.keys.truncate(len * shape.n_kv_heads * shape.head_dim);
                single.values.truncate(len * shape.n_kv_heads * shape.head_dim);
                single.rows = 1;
                let part = run(one, &shape, &[single], &q[row * width..(row + 1) * width]);
                assert!(part == batch[row * width..(row + 1) * width], "{} {format:?} row {row}", one.isa());
            }
        }
    }
}

fn clone(sequence: &Sequence) -> Sequence {
    Sequence { keys: sequence.keys.clone(), values: sequence.values.clone(), ..*sequence }
}

#[test]
fn caches_with_a_page_in_common_do_not_see_what_the_other_appends() {
    for (cpu, format) in cpus(1).iter().flat_map(|cpu| FORMATS.map(|format| (cpu, format))) {
        let shape = shape(2, 1, 16);
        let [a, b] = [1, 2].map(|seed| Sequence::random(format, &shape, 100, 1, seed));
        let q = Noise::new(3).floats(32);
        let [mut first, mut second, mut third] = [(); 3].map(|()| KvCache::new(format, 1, 16));
        first.append(cpu, &a.keys, &a.values);
        second.begin_with(vec![first.page(0)]);
        assert_eq!((first.len(), second.len()), (100, PAGE));
        second.append(cpu, &b.keys[PAGE * 16..], &b.values[PAGE * 16..]);
        third.append(cpu, &a.keys, &a.values);
        third.replace_page(0, first.page(0));
        for cache in [&mut first, &mut third] {
            cache.truncate(40);
            cache.append(cpu, &b.keys[40 * 16..], &b.values[40 * 16..]);
        }
        for (cache, cut) in [(&first, 40), (&second, PAGE), (&third, 40)] {
            let mut expected = clone(&a);
            expected.keys.splice(cut * 16.., b.keys[cut * 16..].iter().copied());
            expected.values.splice(cut * 16.., b.values[cut * 16..].iter().copied());
            let mut out = vec![0.0; 32];
            attention(cpu, &shape, &UNBOUND, &q, &[Attending { cache, rows: 1 }], &mut out);
            assert_eq!(out, run(cpu, &shape, &[expected], &q), "{} {format:?} cut at {cut}", cpu.isa());
        }
    }
}

#[test]
fn scores_and_values_of_any_size_stay_numbers() {
    for (cpu, format) in cpus(1).iter().flat_map(|cpu| FORMATS.map(|format| (cpu, format))) {
        let shape = shape(1, 1, 16);
        let mut cache = KvCache::new(format, 1, 16);
        for size in [1e-30, 1.0, 1e30] {
            cache.append(cpu, &[size; 16], &[size; 16]);
            cache.append(cpu, &[-size; 16], &[-size; 16]);
        }
        let mut out = vec![0.0; 16];
        attention(cpu, &shape, &UNBOUND, &[1e4; 16], &[Attending { cache: &cache, rows: 1 }], &mut out);
        let largest = if format == KvFormat::F16 { 65504.0 } else { 1e30 };
        assert!(out.iter().all(|v| (v - largest).abs() < 1e-4 * largest), "{} {format:?}: {out:?}", cpu.isa());
    }
}

#[test]
fn bytes_take_little_more_than_half_and_keep_what_is_not_finite_out() {
    let bytes = |format| KvCache::bytes_for(format, 8, 128, 1000) as f64;
    let share = bytes(KvFormat::Q8) / bytes(KvFormat::F16);
    assert!((0.5..0.57).contains(&share), "{share}");
    for cpu in cpus(1) {
        let mut cache = KvCache::new(KvFormat::Q8, 1, 32);
        let mut row = [1.0; 32];
        (row[3], row[4], row[5]) = (f32::INFINITY, f32::NAN, f32::NEG_INFINITY);
        cache.append(&cpu, &[0.0; 32], &row);
        let mut out = vec![0.0; 32];
        attention(&cpu, &shape(1, 1, 32), &UNBOUND, &[0.0; 32], &[Attending { cache: &cache, rows: 1 }], &mut out);
        assert!(out.iter().all(|value| value.is_finite()), "{out:?}");
    }
}
