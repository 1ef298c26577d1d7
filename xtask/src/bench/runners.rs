//! Runner processes without a worker: loaded, connected with each other and asked, as a worker does it.

use anyhow::{Context, Result, bail};
use exo_identity::Identity;
use exo_runner_host::{Connect, HostMessage, LinkSettings, Load, RunnerEvent, RunnerEvents, RunnerHost};
use exo_runner_host::{Limits, RankAddress, Runner, RunnerMessage, RunnerProgram};
use exo_types::{
    AnsweredTokens, GenerateRequest, InstanceId, Prompt, ReplyOptions, RequestId, SamplingParams, Shard, StreamChunk,
    TensorShare, Usage,
};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, SystemTime};
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
    /// Starts a process with one thread for each rank and waits until they are connected.
    pub async fn start(program: &Path, model: &Path, cut: Cut) -> Result<Self> {
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
            stage.runner.send(HostMessage::Load(load(model, cut, rank)?))?;
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
        let usage = self.ask(PROMPT.repeat(32), tokens).await?;
        Ok(usage.decode_us as f64 / 1000.0 / f64::from(tokens - 1))
    }

    /// Reads a prompt of so many words that it has not read before; milliseconds a token of it.
    pub async fn read(&mut self, words: usize) -> Result<f64> {
        let usage = self.ask(format!("{} {}", self.requests, PROMPT.repeat(words)), 1).await?;
        Ok(usage.prefill_us as f64 / 1000.0 / f64::from(usage.prompt_tokens.max(1)))
    }

    async fn ask(&mut self, prompt: String, tokens: u32) -> Result<Usage> {
        let logit_bias = CONTROL_TOKENS.map(|token| (token, -100.0)).collect();
        let sampling = SamplingParams { temperature: 0.0, logit_bias, ..SamplingParams::default() };
        let (_, usage) = self.tell(Prompt::Text(prompt), sampling, tokens).await?;
        if usage.completion_tokens != tokens {
            bail!("{} tokens came instead of {tokens}", usage.completion_tokens);
        }
        Ok(usage)
    }

    /// The tokens of an answer of at most so many, and what it cost.
    pub async fn tell(
        &mut self,
        prompt: Prompt,
        sampling: SamplingParams,
        max_tokens: u32,
    ) -> Result<(Vec<u32>, Usage)> {
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
        };
        let head = self.stages.first_mut().context("a chain has a head")?;
        head.runner.send(HostMessage::Generate(request))?;
        let mut tokens = Vec::new();
        let usage = head.until(|message| finished(message, &request_id, &mut tokens)).await??;
        Ok((tokens, usage))
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

fn load(model: &Path, cut: Cut, rank: u32) -> Result<Load> {
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
        shard: cut.shard(rank),
        context_length: 1024,
        max_sequences: 1,
        prefill_chunk: 256,
        draft_tokens: 0,
        threads: 1,
        isa: std::env::var("EXO_CPU").ok(),
        memory_limit: None,
        links: (cut.world() > 1).then_some(links),
        incarnation: 1,
    })
}

/// What the answer to `id` cost, once it has ended; its tokens before.
fn finished(message: RunnerMessage, id: &RequestId, tokens: &mut Vec<u32>) -> Option<Result<Usage>> {
    let RunnerMessage::Chunk { request_id, chunk } = message else { return None };
    match chunk {
        _ if request_id != *id => None,
        StreamChunk::Error(error) => Some(Err(error.into())),
        StreamChunk::Token(token) => {
            tokens.extend(token.token_ids);
            token.usage.filter(|_| token.finish_reason.is_some()).map(Ok)
        }
        StreamChunk::PrefillProgress(_) | StreamChunk::Embedding(_) => None,
    }
}

/// Links are encrypted, as between nodes.
fn identity() -> Result<Identity> {
    let node = exo_types::NodeId::new("bench")?;
    Ok(Identity::found(node, "bench", SystemTime::now())?)
}
