//! The CPU as a device: kernels of one instruction set on a pool of threads.

use exo_gguf::TensorView;
use exo_kernels::{
    Activations, Attending, AttentionShape, Cpu, Dtype, Isa, KvCache, Matrix, Product, Rope, RopeStyle, RopeTable,
    Weights, attention, matmul, rms_norm, silu_mul,
};

use super::{AttentionSizes, Device, DeviceError, Heads, Span};
use crate::config::{RopeConfig, RopeLayout};

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
    shape: AttentionShape,
    slots: Vec<KvCache>,
}

/// Frequencies, and the angles of the step that is computed.
#[derive(Debug)]
pub struct CpuRotation {
    rope: Rope,
    table: RopeTable,
    sizes: AttentionSizes,
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
    type Rotation = CpuRotation;

    fn weights(&mut self, tensor: &TensorView<'_>) -> Result<Weights, DeviceError> {
        let dtype = Dtype::from_name(tensor.dtype.name()).ok_or_else(|| DeviceError::TensorType {
            name: tensor.name.to_owned(),
            dtype: tensor.dtype.name(),
            supported: Dtype::ALL.map(Dtype::name).join(", "),
        })?;
        let matrix = Matrix::new(dtype, tensor.rows(), tensor.row_elements(), tensor.bytes)
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
        let shape = AttentionShape {
            n_heads: sizes.heads,
            n_kv_heads: sizes.kv_heads,
            head_dim: sizes.head_width,
            scale: 1.0 / (sizes.head_width as f32).sqrt(),
        };
        let slot = KvCache::new(sizes.kv_heads, sizes.head_width);
        Ok(CpuCache { shape, slots: vec![slot; sizes.slots] })
    }

    fn cache_bytes(sizes: AttentionSizes) -> u64 {
        let slot = KvCache::bytes_for(sizes.kv_heads, sizes.head_width, sizes.context) as u64;
        slot.saturating_mul(sizes.slots as u64)
    }

    fn rotation(&mut self, rope: &RopeConfig, sizes: AttentionSizes, factors: Option<&[f32]>) -> CpuRotation {
        let style = match rope.layout {
            RopeLayout::Interleaved => RopeStyle::Interleaved,
            RopeLayout::Halves => RopeStyle::HalfSplit,
        };
        let rope = Rope::new(style, rope.dimensions, rope.base, 1.0 / rope.position_divisor, factors);
        CpuRotation { rope, table: RopeTable::default(), sizes }
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
        rms_norm(&self.cpu, &x.values, &weight.values, epsilon, out.resize(x.rows()));
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

    fn silu_gate(&mut self, gate: &mut CpuBuffer, up: &CpuBuffer) {
        silu_mul(&self.cpu, &mut gate.values, &up.values);
    }

    fn attend(
        &mut self,
        spans: &[Span],
        rotation: &CpuRotation,
        heads: Heads<'_, CpuBuffer>,
        cache: &mut CpuCache,
        out: &mut CpuBuffer,
    ) {
        let CpuRotation { rope, table, sizes } = rotation;
        rope.apply(&self.cpu, table, &mut heads.query.values, sizes.heads, sizes.head_width);
        rope.apply(&self.cpu, table, &mut heads.key.values, sizes.kv_heads, sizes.head_width);
        let width = heads.key.width;
        for span in spans {
            let rows = span.first_row * width..(span.first_row + span.rows) * width;
            let slot = &mut cache.slots[span.slot];
            slot.truncate(span.start);
            slot.append(&self.cpu, &heads.key.values[rows.clone()], &heads.value.values[rows]);
        }
        let sequences: Vec<Attending<'_>> =
            spans.iter().map(|span| Attending { cache: &cache.slots[span.slot], rows: span.rows }).collect();
        let out = out.resize(heads.query.rows());
        attention(&self.cpu, &cache.shape, &heads.query.values, &sequences, out);
    }
}
