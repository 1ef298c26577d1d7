//! Our engine in this process, asked the same things as llama.cpp.

use anyhow::{Context, Result, bail};
use exo_engine::{
    EmbeddingOptions, Engine, EngineOptions, Finish, GenerateRequest, Output, Pooling, Prompt, ReplyOptions, Turn,
    isa_from_env,
};
use exo_text::{ControlTokens, Sampling};
use std::path::Path;
use std::time::Instant;

/// One model in our engine.
pub struct OwnEngine {
    engine: Engine,
    options: EngineOptions,
    last_id: u64,
}

/// An answer, and how it began.
#[derive(Debug, Default)]
pub struct Timed {
    /// To its first token.
    pub seconds: f64,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Tokens of its prompt that were computed before.
    pub cached_tokens: u32,
}

impl OwnEngine {
    /// Loads a model for one sequence of up to `context` tokens.
    pub fn load(model: &Path, threads: usize, context: u32) -> Result<Self> {
        Self::load_for(model, EngineOptions { threads, context, max_sequences: 1, ..EngineOptions::default() })
    }

    /// Loads a model; `EXO_CPU` chooses the instructions where the options do not.
    pub fn load_for(model: &Path, mut options: EngineOptions) -> Result<Self> {
        if options.isa.is_none() {
            options.isa = isa_from_env(std::env::var("EXO_CPU").ok().as_deref())?;
        }
        let engine = Engine::load(model, &options, &mut |_| ()).with_context(|| model.display().to_string())?;
        Ok(Self { engine, options, last_id: 0 })
    }

    /// The engine itself.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Name of the instruction set in use.
    pub fn instructions(&self) -> String {
        self.options.isa.unwrap_or_else(exo_kernels::Isa::detect).name().to_owned()
    }

    /// Logits after every token.
    pub fn logits(&mut self, tokens: &[u32]) -> Result<Vec<Vec<f32>>> {
        let width = self.engine.config().vocabulary;
        let logits = self.engine.score(tokens)?;
        Ok(logits.chunks_exact(width).map(<[f32]>::to_vec).collect())
    }

    /// The likeliest `count` tokens after `tokens`.
    pub fn greedy(&mut self, tokens: &[u32], count: usize) -> Result<Vec<u32>> {
        self.submit(tokens, count)?;
        let mut added = Vec::new();
        while !self.engine.is_idle() {
            for output in self.step()? {
                added.extend(output.token_ids);
            }
        }
        Ok(added)
    }

    /// The vector of a text, and how many tokens the text has.
    pub fn vector(&mut self, text: &str, pooling: Pooling) -> Result<(Vec<f32>, usize)> {
        let embedding = Some(EmbeddingOptions { pooling: Some(pooling) });
        self.last_id += 1;
        self.engine.submit(GenerateRequest {
            id: self.last_id,
            prompt: Prompt::Text(text.to_owned()),
            sampling: Sampling::default(),
            max_tokens: None,
            stop: Vec::new(),
            ignore_eos: false,
            reply: ReplyOptions { embedding, ..ReplyOptions::default() },
            answered: Vec::new(),
            asked_at: None,
            turn: Turn::default(),
        })?;
        while !self.engine.is_idle() {
            if let Some(output) = self.step()?.pop() {
                let vector = output.embedding.context("an embedding ends with its vector")?;
                return Ok((vector, output.usage.prompt_tokens as usize));
            }
        }
        bail!("no vector came")
    }

    /// Tokens up to the first that ends an answer, that one included.
    pub fn cut_at_end(&self, mut tokens: Vec<u32>) -> Vec<u32> {
        let end = tokens.iter().position(|token| self.engine.tokenizer().is_end(*token));
        tokens.truncate(end.map_or(tokens.len(), |end| end + 1));
        tokens
    }

    /// Token ids of texts; no special tokens are added or read.
    pub fn tokenize(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        let encode = |text: &&str| Ok(self.engine.tokenizer().encode(text, ControlTokens::AsText)?);
        texts.iter().map(encode).collect()
    }

    /// Token ids of a rendered prompt, control tokens read.
    pub fn tokenize_prompt(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.engine.tokenizer().encode(text, ControlTokens::Parse)?)
    }

    /// Seconds for a prompt and its first token.
    pub fn time_prefill(&mut self, tokens: &[u32]) -> Result<f64> {
        self.submit(tokens, 1)?;
        let begin = Instant::now();
        while !self.engine.is_idle() {
            self.step()?;
        }
        Ok(begin.elapsed().as_secs_f64())
    }

    /// Has `count` tokens generated after `tokens`.
    pub fn time_first_token(&mut self, tokens: &[u32], count: usize) -> Result<Timed> {
        self.submit(tokens, count)?;
        let begin = Instant::now();
        let mut timed = Timed::default();
        while !self.engine.is_idle() {
            for output in self.step()? {
                if timed.tokens.is_empty() {
                    timed.seconds = begin.elapsed().as_secs_f64();
                }
                timed.cached_tokens = output.usage.cached_tokens;
                timed.tokens.extend(output.token_ids);
            }
        }
        Ok(timed)
    }

    /// Seconds for `count` tokens one after the other, after `tokens` and one more.
    pub fn time_decode(&mut self, tokens: &[u32], count: usize) -> Result<f64> {
        self.submit(tokens, count + 1)?;
        while self.step()?.iter().all(|output| output.token_ids.is_empty()) {}
        let begin = Instant::now();
        while !self.engine.is_idle() {
            self.step()?;
        }
        Ok(begin.elapsed().as_secs_f64())
    }

    /// Seconds for `count` tokens after `tokens` and one more, and the tokens.
    pub fn time_answer(&mut self, tokens: &[u32], sampling: Sampling, count: usize) -> Result<(f64, Vec<u32>)> {
        self.submit_with(tokens, sampling, count + 1)?;
        let mut answer = Vec::new();
        let mut begin = Instant::now();
        while !self.engine.is_idle() {
            let outputs = self.step()?;
            if answer.is_empty() {
                begin = Instant::now();
            }
            answer.extend(outputs.into_iter().flat_map(|output| output.token_ids));
        }
        Ok((begin.elapsed().as_secs_f64(), answer))
    }

    /// Puts a request in the queue, and gives its number.
    pub fn submit(&mut self, tokens: &[u32], count: usize) -> Result<u64> {
        self.submit_with(tokens, Sampling::default(), count)
    }

    fn submit_with(&mut self, tokens: &[u32], sampling: Sampling, count: usize) -> Result<u64> {
        self.last_id += 1;
        self.engine.submit(GenerateRequest {
            id: self.last_id,
            prompt: Prompt::Tokens(tokens.to_vec()),
            sampling,
            max_tokens: Some(u32::try_from(count).context("too many tokens")?),
            stop: Vec::new(),
            ignore_eos: true,
            reply: ReplyOptions::default(),
            answered: Vec::new(),
            asked_at: None,
            turn: Turn::default(),
        })?;
        Ok(self.last_id)
    }

    /// One step of the engine.
    pub fn step(&mut self) -> Result<Vec<Output>> {
        let outputs = self.engine.step()?;
        for output in &outputs {
            if let Some(Finish::Failed(cause)) = &output.finish {
                bail!("the request failed: {cause}");
            }
        }
        Ok(outputs)
    }
}
