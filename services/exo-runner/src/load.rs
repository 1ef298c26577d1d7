//! Reading the shard.

use crate::head::Head;
use crate::progress::Progress;
use exo_engine::{Engine, EngineOptions, LoadError, LoadProgress, Share, StageWorker, isa_from_env};
use exo_kernels::KvFormat;
use exo_runner_host::Load;
use exo_types::Shard;
use thiserror::Error;

/// The part of a model that this process computes.
pub(crate) enum Part {
    /// Rank 0.
    Head(Box<Head>),
    /// Every other rank.
    Stage(Box<StageWorker>),
}

impl Part {
    /// Most numbers that the hidden states of a step have.
    pub(crate) fn step_values(&self) -> usize {
        match self {
            Self::Head(head) => head.step_values(),
            Self::Stage(stage) => stage.step_values(),
        }
    }
}

/// Why the shard is not there.
#[derive(Debug, Error)]
pub(crate) enum ShardLoadError {
    #[error("the shard cannot be: {0}; place the model again")]
    Shard(#[from] exo_types::ShardError),
    #[error("engine.cpu: {0}")]
    Isa(#[from] exo_kernels::IsaError),
    #[error("the file has {found} layers, but was placed with {placed}; it changed since: place the model again")]
    OtherModel { found: usize, placed: u32 },
    #[error(transparent)]
    Quantisation(#[from] exo_weights::UnknownQuantisation),
    #[error(transparent)]
    Engine(#[from] LoadError),
}

impl ShardLoadError {
    /// Whether another try can help: only where the system, not the file, stood in the way.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Engine(LoadError::Files(error)) if error.is_passing())
    }
}

/// Loads, and tells after each layer's worth of bytes.
pub(crate) fn load(order: &Load, progress: &Progress, on_layer: &mut dyn FnMut(u32)) -> Result<Part, ShardLoadError> {
    order.shard.check()?;
    let options = options(order)?;
    let total = order.shard.len();
    let mut told = 0;
    let mut on_progress = |at: LoadProgress| {
        progress.advance();
        let layers = layers_at(at, total);
        if layers > told {
            told = layers;
            on_layer(layers);
        }
    };
    let (part, found) = if order.shard.device_rank == 0 {
        let engine = Engine::load(&order.model_path, &options, &mut on_progress)?;
        let found = engine.config().layers;
        (Part::Head(Box::new(Head::new(engine))), found)
    } else {
        let stage = StageWorker::load(&order.model_path, &options, &mut on_progress)?;
        let found = stage.config().layers;
        (Part::Stage(Box::new(stage)), found)
    };
    let placed = order.shard.n_layers;
    if found == placed as usize { Ok(part) } else { Err(ShardLoadError::OtherModel { found, placed }) }
}

fn options(order: &Load) -> Result<EngineOptions, ShardLoadError> {
    let Shard { start_layer, end_layer, tensor, .. } = order.shard;
    Ok(EngineOptions {
        threads: order.threads.max(1) as usize,
        isa: isa_from_env(order.isa.as_deref())?,
        layers: Some(start_layer as usize..end_layer as usize),
        share: Share { rank: tensor.rank as usize, size: tensor.size as usize },
        context: order.context_length,
        max_sequences: order.max_sequences,
        prefill_chunk: order.prefill_chunk,
        quantisation: order.quantization.as_deref().map(str::parse).transpose()?,
        draft: order.draft_tokens,
        reuse: order.prefix_reuse,
        kv_format: match order.kv_format {
            exo_types::KvFormat::F16 => KvFormat::F16,
            exo_types::KvFormat::Q8 => KvFormat::Q8,
        },
        memory_limit: order.memory_limit,
        ..EngineOptions::default()
    })
}

fn layers_at(at: LoadProgress, total: u32) -> u32 {
    let done = u128::from(at.bytes_done) * u128::from(total) / u128::from(at.bytes_total.max(1));
    u32::try_from(done).unwrap_or(total).min(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_as_layers() {
        let check = |bytes_done, bytes_total, expect| {
            assert_eq!(layers_at(LoadProgress { bytes_done, bytes_total }, 4), expect);
        };
        check(0, 100, 0);
        check(49, 100, 1);
        check(100, 100, 4);
        check(0, 0, 0);
        check(u64::MAX, 1, 4);
    }
}
