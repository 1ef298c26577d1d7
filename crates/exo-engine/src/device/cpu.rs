//! The CPU as a device: kernels of one instruction set on a pool of threads.

use std::ops::Range;

use exo_kernels::{
    Activations, Attending, AttentionBounds, AttentionShape, Cpu, Dtype, Isa, KvCache, KvPage, Matrix, Product, Rope,
    RopeStyle, RopeTable, Weights, attention, matmul,
};

use super::{AttentionRule, AttentionSizes, Device, DeviceError, Heads, MatrixPart, Span};
use crate::{
    config::{Activation, RopeConfig, RopeLayout},
    plan::BLOCK,
};

/// Blocks are the pages of the cache.
const _: () = assert!(BLOCK == exo_kernels::PAGE);

/// A CPU device.
#[derive(Debug)]
pub struct CpuDevice {
    cpu: Cpu,
    activations: Activations,
}

/// Rows of numbers in memory.
#[derive(Debug)]
pub struct CpuBuffer {
    width: usize,
    values: Vec<f32>,
}

/// Keys and values of one layer: one paged cache for each slot, which grows with its sequence.
#[derive(Debug)]
pub struct CpuCache {
    sizes: AttentionSizes,
    slots: Vec<KvCache>,
}

/// Frequencies, and the angles of the step that is computed.
#[derive(Debug)]
pub struct CpuRotation {
    rope: Rope,
    table: RopeTable,
}

impl CpuDevice {
    /// A device of `threads` threads, the caller's included, with the instruction set `isa` or else the best one.
    pub fn new(isa: Option<Isa>, threads: usize) -> Result<Self, DeviceError> {
        // Threads are not pinned: two runners on one machine would take the same processors.
        let cpu = Cpu::new(isa.unwrap_or_else(Isa::detect), threads, false);
        let cpu = cpu.map_err(|error| DeviceError::Unavailable(error.to_string()))?;
        Ok(Self { cpu, activations: Activations::new() })
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.cpu.isa()
    }
}

impl CpuBuffer {
    fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    /// Sets the number of rows and leaves their values open; stays within the room that was reserved.
    fn resize(&mut self, rows: usize) -> &mut [f32] {
        self.values.resize(rows * self.width, 0.0);
        &mut self.values
    }
}

impl Device for CpuDevice {
    type Weights = Weights;
    type Buffer = CpuBuffer;
    type Cache = CpuCache;
    type Block = KvPage;
    type Rotation = CpuRotation;

    fn weights(&mut self, part: &MatrixPart<'_>) -> Result<Weights, DeviceError> {
        let tensor = &part.tensor;
        let dtype = Dtype::from_name(tensor.dtype.name()).ok_or_else(|| DeviceError::TensorType {
            name: tensor.name.to_owned(),
            dtype: tensor.dtype.name(),
            supported: Dtype::ALL.map(Dtype::name).join(", "),
        })?;
        let rows = tensor.read(part.rows.clone());
        let matrix = Matrix::new(dtype, part.rows.len(), tensor.row_elements(), &rows)
            .and_then(|matrix| matrix.cols(part.columns.clone()))
            .map_err(|error| DeviceError::Layout { name: tensor.name.to_owned(), reason: error.to_string() })?;
        Ok(Weights::pack(&self.cpu, &matrix))
    }

    fn buffer(&mut self, rows: usize, width: usize) -> Result<CpuBuffer, DeviceError> {
        let mut values = Vec::new();
        let bytes = (rows * width * size_of::<f32>()) as u64;
        values.try_reserve_exact(rows * width).map_err(|_| DeviceError::OutOfMemory { bytes })?;
        Ok(CpuBuffer { width, values })
    }

    fn cache(&mut self, sizes: AttentionSizes) -> Result<CpuCache, DeviceError> {
        let slot = KvCache::new(sizes.format, sizes.kv_heads, sizes.head_width);
        Ok(CpuCache { sizes, slots: vec![slot; sizes.slots] })
    }

    fn cache_bytes(sizes: AttentionSizes) -> u64 {
        let slot = KvCache::bytes_for(sizes.format, sizes.kv_heads, sizes.head_width, sizes.context) as u64;
        slot.saturating_mul(sizes.slots as u64)
    }

    fn block(&mut self, cache: &CpuCache, slot: usize, part: usize) -> KvPage {
        cache.slots[slot].page(part)
    }

    fn replace_block(&mut self, cache: &mut CpuCache, slot: usize, part: usize, block: &KvPage) {
        cache.slots[slot].replace_page(part, block.clone());
    }

    fn restore(&mut self, cache: &mut CpuCache, slot: usize, blocks: Vec<KvPage>) {
        cache.slots[slot].begin_with(blocks);
    }

    fn rotation(&mut self, rope: &RopeConfig, factors: Option<&[f32]>) -> CpuRotation {
        let style = match rope.layout {
            RopeLayout::Interleaved => RopeStyle::Interleaved,
            RopeLayout::Halves => RopeStyle::HalfSplit,
        };
        let rope = Rope::new(style, rope.frequencies(factors), rope.magnitude);
        CpuRotation { rope, table: RopeTable::default() }
    }

    fn turn_to(&mut self, spans: &[Span], rotation: &mut CpuRotation) {
        let positions: Vec<u32> =
            spans.iter().flat_map(|span| (span.start..span.start + span.rows).map(|at| at as u32)).collect();
        rotation.rope.fill(&mut rotation.table, &positions);
    }

    fn write(&mut self, values: &[f32], buffer: &mut CpuBuffer) {
        buffer.values.clear();
        buffer.values.extend_from_slice(values);
    }

    fn read(&mut self, buffer: &CpuBuffer, values: &mut [f32]) {
        values.copy_from_slice(&buffer.values);
    }

    fn rms_norm(&mut self, x: &CpuBuffer, weight: &CpuBuffer, epsilon: f32, out: &mut CpuBuffer) {
        exo_kernels::rms_norm(&self.cpu, &x.values, &weight.values, epsilon, out.resize(x.rows()));
    }

    fn rms_norm_in_place(&mut self, x: &mut CpuBuffer, weight: &CpuBuffer, epsilon: f32) {
        exo_kernels::rms_norm_in_place(&self.cpu, &mut x.values, &weight.values, epsilon);
    }

    fn layer_norm_in_place(&mut self, x: &mut CpuBuffer, weight: &CpuBuffer, bias: &CpuBuffer, epsilon: f32) {
        exo_kernels::layer_norm_in_place(&self.cpu, &mut x.values, &weight.values, &bias.values, epsilon);
    }

    fn products<const N: usize>(&mut self, x: &CpuBuffer, products: [(&Weights, &mut CpuBuffer); N]) {
        self.activations.fill(&self.cpu, &x.values, &products.each_ref().map(|(weights, _)| *weights));
        let rows = x.rows();
        let mut products = products.map(|(weights, out)| Product::write(weights, out.resize(rows)));
        matmul(&self.cpu, &self.activations, &mut products);
    }

    fn add_product(&mut self, x: &CpuBuffer, weights: &Weights, out: &mut CpuBuffer) {
        self.activations.fill(&self.cpu, &x.values, &[weights]);
        matmul(&self.cpu, &self.activations, &mut [Product::add(weights, &mut out.values)]);
    }

    fn gelu(&mut self, x: &mut CpuBuffer) {
        exo_kernels::gelu(&self.cpu, &mut x.values);
    }

    fn gate(&mut self, activation: Activation, gate: &mut CpuBuffer, up: &CpuBuffer) {
        let gate_with = match activation {
            Activation::Silu => exo_kernels::silu_mul,
            Activation::Gelu => exo_kernels::gelu_mul,
            Activation::ClampedSilu => exo_kernels::clamped_silu_mul,
        };
        gate_with(&self.cpu, &mut gate.values, &up.values);
    }

    fn add_to_rows(&mut self, x: &mut CpuBuffer, row: &CpuBuffer) {
        exo_kernels::add_to_rows(&self.cpu, &mut x.values, &row.values);
    }

    fn add(&mut self, x: &mut CpuBuffer, y: &CpuBuffer) {
        exo_kernels::add(&self.cpu, &mut x.values, &y.values);
    }

    fn soft_cap(&mut self, x: &mut CpuBuffer, cap: f32) {
        exo_kernels::soft_cap(&self.cpu, &mut x.values, cap);
    }

    fn gather(&mut self, x: &CpuBuffer, rows: &[usize], out: &mut CpuBuffer) {
        out.values.clear();
        rows.iter().for_each(|&row| out.values.extend_from_slice(&x.values[row * x.width..][..x.width]));
    }

    fn columns(&mut self, x: &CpuBuffer, columns: Range<usize>, out: &mut CpuBuffer) {
        out.values.clear();
        x.values.chunks_exact(x.width).for_each(|row| out.values.extend_from_slice(&row[columns.clone()]));
    }

    fn scatter_add(&mut self, x: &CpuBuffer, rows: &[usize], weights: &[f32], out: &mut CpuBuffer) {
        for ((x, &row), &weight) in x.values.chunks_exact(x.width).zip(rows).zip(weights) {
            let out = &mut out.values[row * out.width..][..out.width];
            out.iter_mut().zip(x).for_each(|(out, x)| *out += weight * x);
        }
    }

    fn clear(&mut self, rows: usize, out: &mut CpuBuffer) {
        out.resize(rows).fill(0.0);
    }

    fn attend(
        &mut self,
        spans: &[Span],
        rotation: Option<&CpuRotation>,
        rule: &AttentionRule<'_, CpuBuffer>,
        heads: Heads<'_, CpuBuffer>,
        cache: &mut CpuCache,
        out: &mut CpuBuffer,
    ) {
        let sizes = cache.sizes;
        if let Some(CpuRotation { rope, table }) = rotation {
            rope.apply(&self.cpu, table, &mut heads.query.values, sizes.heads, sizes.head_width);
            rope.apply(&self.cpu, table, &mut heads.key.values, sizes.kv_heads, sizes.head_width);
        }
        let width = heads.key.width;
        for span in spans {
            let rows = span.first_row * width..(span.first_row + span.rows) * width;
            let slot = &mut cache.slots[span.slot];
            slot.truncate(span.start);
            slot.append(&self.cpu, &heads.key.values[rows.clone()], &heads.value.values[rows]);
        }
        let sequences: Vec<Attending<'_>> =
            spans.iter().map(|span| Attending { cache: &cache.slots[span.slot], rows: span.rows }).collect();
        let AttentionSizes { heads: n_heads, kv_heads: n_kv_heads, head_width: head_dim, .. } = sizes;
        let shape = AttentionShape { n_heads, n_kv_heads, head_dim, scale: rule.scale };
        let sinks = rule.sinks.map(|sinks| sinks.values.as_slice());
        let AttentionRule { window, soft_cap, sees_ahead, .. } = *rule;
        let bounds = AttentionBounds { window, soft_cap, sinks, sees_ahead };
        let out = out.resize(heads.query.rows());
        attention(&self.cpu, &shape, &bounds, &heads.query.values, &sequences, out);
    }
}
