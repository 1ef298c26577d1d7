//! One model and one sequence of it.

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Instant;

/// Most tokens of one call: llama.cpp's own default for a physical batch.
const BATCH: usize = 512;

/// How attention is computed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Attention {
    /// As llama.cpp decides by itself.
    #[default]
    Auto,
    /// In one pass over the cache, scores never stored.
    Flash,
    /// Scores, their softmax and the weighted sum, one after the other.
    Plain,
}

/// A model in memory.
pub struct Loaded {
    backend: LlamaBackend,
    model: LlamaModel,
}

/// A model with a cache.
pub struct Llama<'a> {
    model: &'a LlamaModel,
    context: LlamaContext<'a>,
    /// What the cache holds.
    cached: Vec<i32>,
}

impl Loaded {
    /// Reads a GGUF file.
    pub fn open(path: &Path) -> Result<Self> {
        let mut backend = LlamaBackend::init().context("llama.cpp does not start")?;
        backend.void_logs();
        let model = LlamaModel::load_from_file(&backend, path, &LlamaModelParams::default())
            .with_context(|| format!("llama.cpp does not load {}", path.display()))?;
        Ok(Self { backend, model })
    }

    /// A cache for one sequence of up to `length` tokens; the rest is as llama.cpp has it by default.
    pub fn context(&mut self, threads: u16, length: u32, attention: Attention) -> Result<Llama<'_>> {
        // The values of `llama_flash_attn_type`.
        let policy = match attention {
            Attention::Auto => -1,
            Attention::Plain => 0,
            Attention::Flash => 1,
        };
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(length))
            .with_flash_attention_policy(policy)
            .with_n_batch(BATCH as u32)
            .with_n_ubatch(BATCH as u32)
            .with_n_threads(i32::from(threads))
            .with_n_threads_batch(i32::from(threads));
        let context = self.model.new_context(&self.backend, params).context("llama.cpp has no memory for a context")?;
        Ok(Llama { model: &self.model, context, cached: Vec::new() })
    }
}

impl Llama<'_> {
    /// Rows of logits after the last token, or after all of them.
    pub fn logits(&mut self, tokens: &[i32], all: bool) -> Result<Vec<Vec<f32>>> {
        self.clear();
        let half = tokens.len() / 2;
        let mut rows = Vec::new();
        for chunk in tokens[..half].chunks(BATCH) {
            rows.extend(self.feed(chunk, all)?);
        }
        for token in tokens[half..].chunks(1) {
            rows.extend(self.feed(token, true)?);
        }
        if rows.is_empty() {
            bail!("no tokens, no logits");
        }
        Ok(if all { rows } else { rows.split_off(rows.len() - 1) })
    }

    /// The likeliest `count` tokens after `tokens`.
    pub fn greedy(&mut self, tokens: &[i32], count: usize) -> Result<Vec<i32>> {
        self.clear();
        self.prefill(tokens)?;
        let mut added = Vec::with_capacity(count);
        while added.len() < count {
            let next = self.likeliest();
            added.push(next);
            if added.len() < count {
                self.push(&[next], Rows::Last)?;
            }
        }
        Ok(added)
    }

    /// Token ids of each text.
    pub fn tokenize(&self, texts: &[String]) -> Vec<Vec<i32>> {
        let vocabulary = self.model.vocab();
        let ids = |text: &String| vocabulary.tokenize(text.as_bytes(), false, false).into_iter().map(|token| token.0);
        texts.iter().map(|text| ids(text).collect()).collect()
    }

    /// Seconds for a prompt and its first token.
    pub fn time_prefill(&mut self, tokens: &[i32]) -> Result<f64> {
        self.clear();
        let begin = Instant::now();
        self.prefill(tokens)?;
        self.likeliest();
        Ok(begin.elapsed().as_secs_f64())
    }

    /// Seconds for `count` tokens, each fed back, after `tokens`.
    pub fn time_decode(&mut self, tokens: &[i32], count: usize) -> Result<f64> {
        self.keep(tokens)?;
        let mut next = self.likeliest();
        let begin = Instant::now();
        for _ in 0..count {
            self.push(&[next], Rows::Last)?;
            next = self.likeliest();
        }
        Ok(begin.elapsed().as_secs_f64())
    }

    /// Makes the cache hold exactly `tokens`, with the logits of the last.
    fn keep(&mut self, tokens: &[i32]) -> Result<()> {
        let Some((last, before)) = tokens.split_last() else { bail!("no tokens to go on from") };
        if self.cached.starts_with(before) {
            let end = u32::try_from(before.len()).context("the sequence is too long")?;
            self.context.clear_kv_cache_seq(Some(0), Some(end), None).context("cannot cut the cache")?;
            self.cached.truncate(before.len());
        } else {
            self.clear();
            self.prefill(before)?;
        }
        self.push(&[*last], Rows::Last)
    }

    fn clear(&mut self) {
        self.context.clear_kv_cache();
        self.cached.clear();
    }

    fn prefill(&mut self, tokens: &[i32]) -> Result<()> {
        tokens.chunks(BATCH).try_for_each(|chunk| self.push(chunk, Rows::Last))
    }

    /// Adds tokens and returns the logits of all of them, or none.
    fn feed(&mut self, tokens: &[i32], wanted: bool) -> Result<Vec<Vec<f32>>> {
        if !wanted {
            self.push(tokens, Rows::Last)?;
            return Ok(Vec::new());
        }
        self.push(tokens, Rows::All)?;
        let rows = i32::try_from(tokens.len()).context("the batch is too long")?;
        Ok((0..rows).map(|row| self.context.get_logits_ith(row).to_vec()).collect())
    }

    fn push(&mut self, tokens: &[i32], rows: Rows) -> Result<()> {
        let mut batch = LlamaBatch::new(tokens.len(), 1);
        for (index, token) in tokens.iter().enumerate() {
            let position = i32::try_from(self.cached.len() + index).context("the sequence is too long")?;
            let wanted = matches!(rows, Rows::All) || index + 1 == tokens.len();
            batch.add(LlamaToken::new(*token), position, &[0], wanted).context("cannot fill the batch")?;
        }
        self.context.decode(&mut batch).context("llama.cpp does not compute the batch")?;
        self.cached.extend_from_slice(tokens);
        Ok(())
    }

    fn likeliest(&self) -> i32 {
        let logits = self.context.get_logits_ith(-1);
        // The first of equals, as exo's sampler takes it.
        let better = |best: usize, index: usize| if logits[index] > logits[best] { index } else { best };
        i32::try_from((0..logits.len()).fold(0, better)).unwrap_or_default()
    }
}

/// Whose logits a batch computes.
enum Rows {
    Last,
    All,
}
