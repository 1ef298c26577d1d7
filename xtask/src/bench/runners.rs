//! Runner processes without a worker: loaded, connected in a ring and asked, as a worker does it.

use anyhow::{Context, Result, bail};
use exo_identity::Identity;
use exo_runner_host::{Connect, HostMessage, LinkSettings, Load, RunnerEvent, RunnerEvents, RunnerHost};
use exo_runner_host::{Limits, Runner, RunnerMessage, RunnerProgram};
use exo_types::{
    AnsweredTokens, GenerateRequest, InstanceId, Prompt, ReplyOptions, RequestId, SamplingParams, Shard, StreamChunk,
    Usage,
};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

/// Layers of the generated model.
const LAYERS: u32 = 16;

/// Nothing that is waited for takes longer, generating aside.
const PATIENCE: Duration = Duration::from_secs(120);

/// The last ids of a generated vocabulary are control tokens; the answer must not end at one of them.
const CONTROL_TOKENS: std::ops::Range<u32> = 31_997..32_000;

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
    /// Starts `world` processes with one thread each and waits until the ring is closed.
    pub async fn start(program: &Path, model: &Path, world: u32) -> Result<Self> {
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
            stage.runner.send(HostMessage::Load(load(model, rank, world)?))?;
            loaded.push(stage.loaded().await.with_context(|| format!("rank {rank} of {world}"))?);
            stages.push(stage);
        }
        for (rank, stage) in stages.iter().enumerate() {
            let (next, next_incarnation) = loaded[(rank + 1) % loaded.len()].clone();
            let next = if world > 1 { next } else { None };
            stage.runner.send(HostMessage::Connect(Connect { incarnation: loaded[rank].1, next, next_incarnation }))?;
        }
        for stage in &mut stages {
            stage.until(|message| matches!(message, RunnerMessage::Ready { .. }).then_some(())).await?;
        }
        Ok(Self { stages, requests: 0, _host: host })
    }

    /// Asks for `tokens` tokens after the same prompt; milliseconds a token after the first.
    pub async fn answer(&mut self, tokens: u32) -> Result<f64> {
        self.requests += 1;
        let id = RequestId::new(format!("bench-{}", self.requests))?;
        let head = self.stages.first_mut().context("a chain has a head")?;
        head.runner.send(HostMessage::Generate(request(id.clone(), tokens)?))?;
        let usage = head.until(|message| finished(message, &id)).await??;
        if usage.completion_tokens != tokens {
            bail!("{} tokens came instead of {tokens}", usage.completion_tokens);
        }
        Ok(usage.decode_us as f64 / 1000.0 / f64::from(tokens - 1))
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

fn load(model: &Path, rank: u32, world: u32) -> Result<Load> {
    let links = LinkSettings {
        listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
        advertise: IpAddr::V4(Ipv4Addr::LOCALHOST),
        ports: (52_420, 52_499),
        deadline_ms: 10_000,
    };
    Ok(Load {
        model_path: model.to_owned(),
        quantization: None,
        instance_id: InstanceId::new("bench")?,
        shard: Shard {
            device_rank: rank,
            world_size: world,
            start_layer: LAYERS * rank / world,
            end_layer: LAYERS * (rank + 1) / world,
            n_layers: LAYERS,
        },
        context_length: 512,
        max_sequences: 1,
        prefill_chunk: 256,
        draft_tokens: 0,
        threads: 1,
        isa: std::env::var("EXO_CPU").ok(),
        memory_limit: None,
        links: (world > 1).then_some(links),
        incarnation: 1,
    })
}

fn request(request_id: RequestId, tokens: u32) -> Result<GenerateRequest> {
    let logit_bias = CONTROL_TOKENS.map(|token| (token, -100.0)).collect();
    Ok(GenerateRequest {
        request_id,
        instance_id: InstanceId::new("bench")?,
        prompt: Prompt::Text("exo ".repeat(32)),
        sampling: SamplingParams { temperature: 0.0, logit_bias, ..SamplingParams::default() },
        max_tokens: Some(tokens),
        stop: Vec::new(),
        reply: ReplyOptions::default().into(),
        deadline_ms: PATIENCE.as_millis() as u64,
        answered: AnsweredTokens::default(),
        asked_at: None,
    })
}

/// What the answer to `id` cost, once it has ended.
fn finished(message: RunnerMessage, id: &RequestId) -> Option<Result<Usage>> {
    let RunnerMessage::Chunk { request_id, chunk } = message else { return None };
    match chunk {
        _ if request_id != *id => None,
        StreamChunk::Error(error) => Some(Err(error.into())),
        StreamChunk::Token(token) => token.usage.filter(|_| token.finish_reason.is_some()).map(Ok),
        StreamChunk::PrefillProgress(_) | StreamChunk::Embedding(_) => None,
    }
}

/// Links are encrypted, as between nodes.
fn identity() -> Result<Identity> {
    let node = exo_types::NodeId::new("bench")?;
    Ok(Identity::found(node, "bench", SystemTime::now())?)
}
