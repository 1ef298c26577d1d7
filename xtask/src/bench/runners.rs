//! Runner processes without a worker: loaded, connected with each other and asked, as a worker does it.

use anyhow::{Context, Result, bail, ensure};
use exo_identity::Identity;
use exo_runner_host::{Connect, HostMessage, LinkSettings, Load, RunnerEvent, RunnerEvents, RunnerHost};
use exo_runner_host::{Limits, RankAddress, Runner, RunnerMessage, RunnerProgram};
use exo_types::{
    AnsweredTokens, GenerateRequest, InstanceId, Prompt, ReplyOptions, RequestId, SamplingParams, Shard, StreamChunk,
    TensorShare, Turn, Usage,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::timeout;

/// How a model is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Layers of the model.
    pub layers: u32,
    /// So many parts of the layers.
    pub stages: u32,
    /// So many ranks share each.
    pub shares: u32,
}

impl Cut {
    /// The generated model of the benches in one process.
    pub const WHOLE: Self = Self { layers: 16, stages: 1, shares: 1 };

    /// Ranks in all.
    pub fn world(self) -> u32 {
        self.stages * self.shares
    }

    fn shard(self, rank: u32) -> Shard {
        let Self { layers, stages, shares } = self;
        let stage = rank / shares;
        Shard {
            device_rank: rank,
            world_size: self.world(),
            start_layer: layers * stage / stages,
            end_layer: layers * (stage + 1) / stages,
            n_layers: layers,
            tensor: TensorShare { rank: rank % shares, size: shares },
        }
    }
}

/// What prompts are made of.
const PROMPT: &str = "exo ";

/// Nothing that is waited for takes longer, generating aside.
const PATIENCE: Duration = Duration::from_secs(120);

/// The last ids of a generated vocabulary are control tokens; the answer must not end at one of them.
const CONTROL_TOKENS: std::ops::Range<u32> = 31_997..32_000;

/// A whole answer.
#[derive(Debug, Default)]
pub struct Told {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Natural logarithms of their probabilities, if they were asked for; end tokens have none.
    pub logprobs: Vec<f32>,
    /// What it cost.
    pub usage: Usage,
}

/// A runner and what it tells.
struct Stage {
    runner: Runner,
    events: RunnerEvents,
}

/// A model over some processes; dropping it ends them.
pub struct Chain {
    stages: Vec<Stage>,
    requests: u32,
    /// Kept because it owns the thread that children are tied to.
    _host: RunnerHost,
}

impl Chain {
    /// Starts a process with one thread for each rank, for one request at a time, and waits until they are connected.
    pub async fn start(program: &Path, model: &Path, cut: Cut) -> Result<Self> {
        Self::start_for(program, model, cut, 1).await
    }

    /// The same for so many requests at once.
    pub async fn start_for(program: &Path, model: &Path, cut: Cut, sequences: u32) -> Result<Self> {
        let world = cut.world();
        let host = RunnerHost::new().context("runners cannot be started")?.with_identity(identity()?);
        let mut stages = Vec::new();
        let mut loaded = Vec::new();
        for rank in 0..world {
            let name = format!("bench-{rank}-of-{world}");
            let limits = Limits::default();
            let (program, args) = (program.to_owned(), Vec::new());
            let what = RunnerProgram { program, args, name, limits, confinement: None };
            let (runner, events) = host.spawn(what).await?;
            let mut stage = Stage { runner, events };
            stage.runner.send(HostMessage::Load(load(model, cut, rank, sequences)?))?;
            loaded.push(stage.loaded().await.with_context(|| format!("rank {rank} of {world}"))?);
            stages.push(stage);
        }
        for (rank, stage) in stages.iter().enumerate() {
            let calls = cut.shard(u32::try_from(rank)?).calls();
            let address = |rank: u32| {
                let (endpoint, incarnation) = loaded[rank as usize].clone();
                Some(RankAddress { rank, endpoint: endpoint?, incarnation })
            };
            let peers = calls.into_iter().map(address).collect::<Option<_>>().context("a rank does not listen")?;
            stage.runner.send(HostMessage::Connect(Connect { incarnation: loaded[rank].1, peers }))?;
        }
        for stage in &mut stages {
            stage.until(|message| matches!(message, RunnerMessage::Ready { .. }).then_some(())).await?;
        }
        Ok(Self { stages, requests: 0, _host: host })
    }

    /// Asks for `tokens` tokens after the same prompt; milliseconds a token after the first.
    pub async fn answer(&mut self, tokens: u32) -> Result<f64> {
        let usage = self.ask(Prompt::Text(PROMPT.repeat(32)), tokens).await?;
        Ok(usage.decode_us as f64 / 1000.0 / f64::from(tokens - 1))
    }

    /// Reads a prompt of so many tokens that it has not read before; milliseconds a token of it.
    pub async fn read(&mut self, tokens: u32) -> Result<f64> {
        let usage = self.ask(Prompt::Tokens(fresh_prompt(self.requests, tokens)), 1).await?;
        Ok(usage.prefill_us as f64 / 1000.0 / f64::from(usage.prompt_tokens.max(1)))
    }

    /// Asks so many questions at once for `tokens` tokens each; milliseconds a token of all answers together.
    pub async fn answer_at_once(&mut self, requests: u32, tokens: u32) -> Result<f64> {
        let begin = Instant::now();
        let mut open = BTreeMap::new();
        for number in 0..requests {
            let prompt = Prompt::Text(format!("{number} {}", PROMPT.repeat(32)));
            open.insert(self.send(prompt, greedy(), tokens)?, Told::default());
        }
        while !open.is_empty() {
            let told = self.head()?.until(|message| ended(message, &mut open)).await??;
            expect_tokens(&told, tokens)?;
        }
        Ok(begin.elapsed().as_secs_f64() * 1000.0 / f64::from(requests * tokens))
    }

    /// Reads so many prompts at once that it has not read before; milliseconds a token of all of them together.
    pub async fn read_at_once(&mut self, requests: u32, tokens: u32) -> Result<f64> {
        let begin = Instant::now();
        let mut open = BTreeMap::new();
        for _ in 0..requests {
            let prompt = Prompt::Tokens(fresh_prompt(self.requests, tokens));
            open.insert(self.send(prompt, greedy(), 1)?, Told::default());
        }
        while !open.is_empty() {
            let told = self.head()?.until(|message| ended(message, &mut open)).await??;
            expect_tokens(&told, 1)?;
        }
        Ok(begin.elapsed().as_secs_f64() * 1000.0 / f64::from(requests * tokens))
    }

    async fn ask(&mut self, prompt: Prompt, tokens: u32) -> Result<Usage> {
        let told = self.tell(prompt, greedy(), tokens).await?;
        expect_tokens(&told, tokens)?;
        Ok(told.usage)
    }

    /// The answer of at most so many tokens.
    pub async fn tell(&mut self, prompt: Prompt, sampling: SamplingParams, max_tokens: u32) -> Result<Told> {
        let mut open = BTreeMap::from([(self.send(prompt, sampling, max_tokens)?, Told::default())]);
        self.head()?.until(|message| ended(message, &mut open)).await?
    }

    fn send(&mut self, prompt: Prompt, sampling: SamplingParams, max_tokens: u32) -> Result<RequestId> {
        self.requests += 1;
        let request_id = RequestId::new(format!("bench-{}", self.requests))?;
        let request = GenerateRequest {
            request_id: request_id.clone(),
            instance_id: InstanceId::new("bench")?,
            prompt,
            sampling,
            max_tokens: Some(max_tokens),
            stop: Vec::new(),
            reply: ReplyOptions::default().into(),
            deadline_ms: PATIENCE.as_millis() as u64,
            answered: AnsweredTokens::default(),
            asked_at: None,
            turn: Turn::default(),
        };
        self.head()?.runner.send(HostMessage::Generate(request))?;
        Ok(request_id)
    }

    fn head(&mut self) -> Result<&mut Stage> {
        self.stages.first_mut().context("a chain has a head")
    }
}

impl Stage {
    async fn loaded(&mut self) -> Result<(Option<String>, u64)> {
        self.until(|message| match message {
            RunnerMessage::Loaded { tensor_endpoint, incarnation } => Some((tensor_endpoint, incarnation)),
            _ => None,
        })
        .await
    }

    /// Passes messages over until one is what is waited for.
    async fn until<T>(&mut self, mut wanted: impl FnMut(RunnerMessage) -> Option<T>) -> Result<T> {
        loop {
            match timeout(PATIENCE, self.events.next()).await.context("the runner says nothing")? {
                Some(RunnerEvent::Message(RunnerMessage::Failed { message, .. })) => {
                    bail!("the runner failed: {message}")
                }
                Some(RunnerEvent::Message(message)) => {
                    if let Some(found) = wanted(message) {
                        return Ok(found);
                    }
                }
                Some(RunnerEvent::Exited(report)) => bail!("the runner {report}: {}", report.last_words.join(" / ")),
                None => bail!("the runner is gone"),
            }
        }
    }
}

fn load(model: &Path, cut: Cut, rank: u32, max_sequences: u32) -> Result<Load> {
    let links = LinkSettings {
        listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
        advertise: IpAddr::V4(Ipv4Addr::LOCALHOST),
        ports: (52_420, 52_499),
        deadline_ms: 60_000,
    };
    Ok(Load {
        model_path: model.to_owned(),
        quantization: None,
        instance_id: InstanceId::new("bench")?,
        shard: cut.shard(rank),
        context_length: 1024,
        max_sequences,
        prefill_chunk: 256,
        draft_tokens: 0,
        prefix_reuse: true,
        kv_format: exo_types::KvFormat::F16,
        threads: 1,
        isa: std::env::var("EXO_CPU").ok(),
        memory_limit: None,
        links: (cut.world() > 1).then_some(links),
        incarnation: 1,
    })
}

/// Tokens of no meaning, of which the first is another for each number below 30 000, so that no cache helps.
fn fresh_prompt(number: u32, tokens: u32) -> Vec<u32> {
    (0..tokens).map(|index| 10 + (number + index * 131) % 30_000).collect()
}

/// The likeliest tokens, but for those that end an answer.
fn greedy() -> SamplingParams {
    let logit_bias = CONTROL_TOKENS.map(|token| (token, -100.0)).collect();
    SamplingParams { temperature: 0.0, logit_bias, ..SamplingParams::default() }
}

fn expect_tokens(told: &Told, tokens: u32) -> Result<()> {
    let came = told.usage.completion_tokens;
    ensure!(came == tokens, "{came} tokens came instead of {tokens}");
    Ok(())
}

/// Adds a message to the answer that it belongs to; that answer, once it has ended, is no longer open.
fn ended(message: RunnerMessage, open: &mut BTreeMap<RequestId, Told>) -> Option<Result<Told>> {
    let RunnerMessage::Chunk { request_id, chunk } = message else { return None };
    let told = open.get_mut(&request_id)?;
    match chunk {
        StreamChunk::Error(error) => Some(Err(error.into())),
        StreamChunk::Token(token) => {
            told.tokens.extend(token.token_ids);
            told.logprobs.extend(token.logprobs.iter().map(|logprob| logprob.chosen.logprob));
            told.usage = token.usage.filter(|_| token.finish_reason.is_some())?;
            open.remove(&request_id).map(Ok)
        }
        StreamChunk::PrefillProgress(_) | StreamChunk::Embedding(_) => None,
    }
}

/// Links are encrypted, as between nodes.
fn identity() -> Result<Identity> {
    let node = exo_types::NodeId::new("bench")?;
    Ok(Identity::found(node, "bench", SystemTime::now())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_prompt_has_its_length_and_begins_like_no_other() {
        let (first, second) = (fresh_prompt(1, 512), fresh_prompt(2, 512));
        assert_eq!(first.len(), 512);
        assert_ne!(first[0], second[0]);
        assert!(first.iter().all(|token| !CONTROL_TOKENS.contains(token)));
    }
}
