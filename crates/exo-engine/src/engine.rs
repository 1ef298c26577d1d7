//! The engine as rank 0 of a pipeline, or alone: requests in, text out, one step at a time.
//!
//! Where other ranks have the layers behind, as many steps are under way as there are stages, so that all of them compute:
//! the sequences that decode are dealt out to the steps, and the chunks of a prompt follow each other.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use exo_grammar::Grammars;
use exo_text::{ChatTemplate, Tokenizer};

use crate::{
    answer::{Answer, Choice},
    config::ModelConfig,
    device::CpuDevice,
    embedding::{EmbeddingRules, Pooling},
    engine_error::EngineError,
    guide::Guide,
    head::Head,
    load_error::LoadError,
    model::{self, Model},
    options::{EngineOptions, LoadProgress},
    pace::Pace,
    pipeline::NextStages,
    plan::BatchPlan,
    prompt::{self, Prepared},
    request::{Finish, GenerateRequest, Output, Reading, SubmitError},
    scheduler::{Accepted, HeadRows, Refusal, Scheduler, SchedulerLimits, Step, Wants},
    stage::{Loading, Split, Stage, StageLimits, check_memory},
    tensor::{TensorGroup, Work},
    token_embedding::TokenEmbedding,
    vocabulary,
};

/// How long a step waits for the grammars of all its answers together, so that the others are not held up. A grammar
/// that takes longer misses the step.
const GRAMMAR_PATIENCE: Duration = Duration::from_millis(1);

/// How long a step waits for a grammar when it has nothing else to do.
const GRAMMAR_WAIT: Duration = Duration::from_millis(10);

/// A loaded model that answers requests.
///
/// Nothing happens between calls: whoever owns the engine calls [`Self::step`] while [`Self::is_idle`] is false. All
/// requests are computed in one batch; each gets the tokens it would get alone, whatever else runs.
pub struct Engine {
    stage: Stage<CpuDevice>,
    embedding: TokenEmbedding<CpuDevice>,
    /// An encoder has none.
    head: Option<Head<CpuDevice>>,
    next: Option<Box<dyn NextStages>>,
    holds_all_layers: bool,
    tokenizer: Arc<Tokenizer>,
    grammars: Grammars,
    template: ChatTemplate,
    embedding_rules: EmbeddingRules,
    scheduler: Scheduler,
    /// Steps that began, the oldest first.
    under_way: VecDeque<UnderWay>,
    pace: Pace,
    answers: BTreeMap<u64, Answer>,
    /// Last outputs of requests that ended outside of a step.
    ended: VecDeque<Output>,
    context: u32,
}

/// A step that began.
struct UnderWay {
    step: Step,
    began: Instant,
    /// Its head rows, if no other rank has to bring them.
    rows: Option<Vec<f32>>,
}

impl Engine {
    /// Loads layers `options.layers` of the model at `path` (a file, or a directory), or the first share of them, the
    /// embedding and the head. The layers start at 0; if they are not all, [`Self::connect`] must bring the rest before
    /// the first step.
    pub fn load(
        path: &Path,
        options: &EngineOptions,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, LoadError> {
        let model = Model::open(path, options.quantisation)?;
        let layers = model::layer_range(&model.config, options)?;
        if layers.start != 0 || options.share.rank != 0 {
            return Err(LoadError::Layers { start: layers.start, end: layers.end, layers: model.config.layers });
        }
        let tokenizer = Arc::new(vocabulary::read_tokenizer(&model.metadata())?);
        let grammars = Grammars::new(tokenizer.clone());
        let template = vocabulary::read_template(&model.metadata(), &tokenizer)?;
        let embedding_rules = EmbeddingRules::read(&model.metadata(), &model.config, &tokenizer)?;
        let limits = StageLimits::new(&model.config, options);
        let split = Split::new(&model.config, options.share)?;
        let has_head = !model.config.is_encoder;
        let head_bytes = if has_head { Head::<CpuDevice>::weight_bytes(&model, &split)? } else { 0 };
        let buffer_bytes = if has_head { Head::<CpuDevice>::buffer_bytes(&model, &split) } else { 0 };
        let end_bytes = head_bytes + buffer_bytes + TokenEmbedding::<CpuDevice>::bytes(&model, limits.tokens);
        let memory = (limits, &split);
        let layer_bytes = check_memory::<CpuDevice>(&model, &layers, memory, end_bytes, options.memory_limit)?;
        let mut device = CpuDevice::new(options.isa, options.threads)?;
        let mut loading = Loading::new(layer_bytes + head_bytes, progress);
        let embedding = TokenEmbedding::load(&model, &mut device, limits.tokens)?;
        let head = if has_head { Some(Head::load(&model, &mut device, &split, &mut loading)?) } else { None };
        let holds_all_layers = layers.len() == model.config.layers;
        let stage = Stage::load(&model, device, layers, (limits, split), &mut loading)?;
        let context = limits.context;
        let scheduler = Scheduler::new(SchedulerLimits {
            context,
            max_sequences: options.max_sequences,
            prefill_chunk: limits.prompt_tokens(),
            draft: options.draft,
            reuse: options.reuse,
            max_waiting: options.max_waiting,
        });
        let (under_way, answers, ended) = (VecDeque::new(), BTreeMap::new(), VecDeque::new());
        Ok(Self {
            stage,
            embedding,
            head,
            next: None,
            holds_all_layers,
            tokenizer,
            grammars,
            template,
            embedding_rules,
            scheduler,
            under_way,
            pace: Pace::default(),
            answers,
            ended,
            context,
        })
    }

    /// Sets, or after a failure replaces, the ranks that share this one's layers, if there are any, and those that hold
    /// the layers behind, if there are any.
    ///
    /// What the cache slots hold is forgotten, for the new ranks do not have it; so is what was running.
    pub fn connect(&mut self, group: Option<Box<dyn TensorGroup>>, next: Option<Box<dyn NextStages>>) {
        self.forget_running();
        self.next = next;
        if let Some(group) = group {
            self.stage.connect(group);
        }
    }

    /// Shape of the model.
    pub fn config(&self) -> &ModelConfig {
        self.stage.config()
    }

    /// Tokens that a prompt and its answer may have together.
    pub fn context(&self) -> u32 {
        self.context
    }

    /// Most numbers that the hidden states of a step have.
    pub fn step_values(&self) -> usize {
        self.stage.step_values()
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Puts a request in the queue; returns the number of tokens of its prompt.
    pub fn submit(&mut self, request: GenerateRequest) -> Result<u32, SubmitError> {
        request.sampling.validate(self.config().vocabulary)?;
        if request.max_tokens == Some(0) {
            return Err(SubmitError::NoTokens);
        }
        let Prepared { mut tokens, reply, grammar, starts_in_reasoning } =
            prompt::prepare(&request, &self.template, &self.tokenizer)?;
        let wants = self.wants_of(&request, &mut tokens)?;
        self.check_prompt(&tokens, wants)?;
        let (now, prompt_tokens) = (Instant::now(), tokens.len() as u32);
        let start = |grammar| Guide::start(&self.grammars, grammar, !starts_in_reasoning, now);
        let guide = grammar.map(start).transpose()?;
        let mut answer = Answer::new(&request, &tokens, reply, guide, now)?;
        if let Wants::States { pooling, .. } = wants {
            answer.pool(self.config().hidden, pooling);
        }
        let max_tokens = self.replay(&request, &mut answer, &mut tokens, now)?;
        let submitted = self.scheduler.submit(request.id, tokens, max_tokens, wants, request.turn);
        submitted.map_err(|refusal| match refusal {
            Refusal::Busy(waiting) => SubmitError::Busy { waiting },
            Refusal::DuplicateId => SubmitError::DuplicateId { id: request.id },
        })?;
        self.answers.insert(request.id, answer);
        Ok(prompt_tokens)
    }

    /// What the request wants; for an embedding the token that ends texts is put behind its own.
    fn wants_of(&self, request: &GenerateRequest, tokens: &mut Vec<u32>) -> Result<Wants, SubmitError> {
        let is_encoder = self.config().is_encoder;
        let EmbeddingRules { pooling, end } = self.embedding_rules;
        match &request.reply.embedding {
            None if is_encoder => Err(SubmitError::NoText),
            None => Ok(Wants::Tokens),
            Some(wanted) => match wanted.pooling.unwrap_or(pooling) {
                Pooling::Cls if !is_encoder => Err(SubmitError::ClsOfDecoder),
                pooling => {
                    tokens.extend(end.filter(|end| tokens.last() != Some(end)));
                    Ok(Wants::States { pooling, in_one_step: is_encoder })
                }
            },
        }
    }

    /// Brings the answer to where another engine was with it; how many tokens may follow.
    fn replay(
        &self,
        request: &GenerateRequest,
        answer: &mut Answer,
        tokens: &mut Vec<u32>,
        now: Instant,
    ) -> Result<Option<u32>, SubmitError> {
        let answered = &request.answered;
        self.check_known(answered)?;
        tokens.extend(answered);
        let max_tokens = request.max_tokens.map(|most| most.saturating_sub(answered.len() as u32));
        let goes_on = answered.iter().all(|&token| answer.replay(token, &self.tokenizer, now));
        if answered.is_empty() || goes_on && max_tokens != Some(0) && tokens.len() < self.context as usize {
            Ok(max_tokens)
        } else {
            Err(SubmitError::Complete { tokens: answered.len() })
        }
    }

    fn check_known(&self, tokens: &[u32]) -> Result<(), SubmitError> {
        let vocabulary = self.config().vocabulary;
        match tokens.iter().find(|&&token| token as usize >= vocabulary) {
            Some(&token) => Err(SubmitError::UnknownToken { token, vocabulary }),
            None => Ok(()),
        }
    }

    /// Every request of which something is left to read, also of those that wait for their turn.
    pub fn reading(&self) -> impl Iterator<Item = Reading> {
        self.scheduler.reading()
    }

    /// Ends request `id`; its last output, with the text that was held back, comes from the next `step`. Unknown ids
    /// are ignored: the request may just have ended by itself.
    pub fn cancel(&mut self, id: u64) {
        self.scheduler.remove(id);
        if let Some(mut answer) = self.answers.remove(&id) {
            self.ended.push_back(answer.end(Finish::Cancelled));
        }
    }

    /// Whether `step` has nothing to do.
    pub fn is_idle(&self) -> bool {
        self.ended.is_empty() && self.under_way.is_empty() && self.scheduler.is_idle()
    }

    /// Computes one step: a token for each sequence in it, more where they were guessed right, and a chunk of the prompts
    /// that wait. Steps of a pipeline overlap: this begins as many as keep all stages busy, and ends the oldest.
    ///
    /// When it fails, the requests that were running are gone and named in the error; those that wait stay, and the
    /// engine can go on once the cause is gone.
    pub fn step(&mut self) -> Result<Vec<Output>, EngineError> {
        let mut outputs: Vec<Output> = self.ended.drain(..).collect();
        self.resume_parked(Duration::ZERO, &mut outputs);
        match self.compute_step(&mut outputs) {
            Ok(true) => Ok(outputs),
            Ok(false) => {
                if outputs.is_empty() {
                    self.resume_parked(GRAMMAR_WAIT, &mut outputs);
                }
                Ok(outputs)
            }
            Err(error) => {
                // What was ended before the step is not lost with it.
                self.ended.extend(outputs);
                let requests = self.forget_running();
                Err(error.of_requests(requests))
            }
        }
    }

    /// Begins as many steps as may be under way, and ends the oldest. False if there is nothing to compute.
    fn compute_step(&mut self, outputs: &mut Vec<Output>) -> Result<bool, EngineError> {
        let stages = self.next.as_ref().map_or(1, |next| next.stages().max(1));
        while self.under_way.len() < stages {
            let Some(step) = self.scheduler.next_step(stages, self.pace.next()) else { break };
            self.note_starts(&step);
            let began = Instant::now();
            let rows = self.begin(&step.plan, &step.tokens)?;
            self.under_way.push_back(UnderWay { step, began, rows });
        }
        let Some(UnderWay { step, began, rows }) = self.under_way.pop_front() else { return Ok(false) };
        let rows = self.end(&step.plan, rows)?;
        self.use_heads(&step, &rows, outputs)?;
        self.note_end(&step, began);
        Ok(true)
    }

    /// Measures what a step took in which answers went on: as long as who reads them waited, for other steps too.
    fn note_end(&mut self, step: &Step, began: Instant) {
        if step.is_decoding() {
            self.pace.on_step(step.prompt_tokens, began.elapsed());
        }
    }

    /// Forgets what runs and what the slots hold; the ids that ran.
    fn forget_running(&mut self) -> Vec<u64> {
        self.under_way.clear();
        let requests = self.scheduler.reset_slots();
        requests.iter().for_each(|id| drop(self.answers.remove(id)));
        requests
    }

    /// Makes of the head rows of a step what their sequences want.
    fn use_heads(&mut self, step: &Step, rows: &[f32], outputs: &mut Vec<Output>) -> Result<(), EngineError> {
        let (width, vocabulary) = (self.config().hidden, self.config().vocabulary);
        let takes_all = self.stage.is_shared();
        let (mut first, mut sampled, mut whose) = (0, Vec::new(), Vec::new());
        for head in &step.heads {
            let own = &rows[first * width..(first + head.rows) * width];
            first += head.rows;
            let samples = head.wants == Wants::Tokens;
            if samples {
                whose.push((head, sampled.len() / width));
            } else {
                outputs.extend(self.add_states(head, own));
            }
            if samples || takes_all {
                // Ranks that share the head compute all rows, for they do not know what is made of them.
                sampled.extend_from_slice(own);
            }
        }
        let now = Instant::now();
        let mut logits = self.logits(&step.plan, &sampled)?;
        for (head, first) in whose {
            let rows = logits[first * vocabulary..].chunks_exact_mut(vocabulary).take(head.rows);
            self.advance(head.id, rows, now, outputs);
        }
        Ok(())
    }

    /// Adds states to an embedding; its output when they were the last.
    fn add_states(&mut self, head: &HeadRows, rows: &[f32]) -> Option<Output> {
        // An encoder's are normalised already.
        let normed = self.head.as_mut().map(|head| head.normed(self.stage.parts(0).0, rows));
        let rows = normed.as_deref().unwrap_or(rows);
        let answer = self.answers.get_mut(&head.id)?;
        let output = answer.add_states(rows, head.is_last, Instant::now())?;
        self.scheduler.remove(head.id);
        self.answers.remove(&head.id);
        Some(output)
    }

    fn note_starts(&mut self, step: &Step) {
        let now = Instant::now();
        for id in self.scheduler.take_interrupted() {
            self.answers.get_mut(&id).into_iter().for_each(|answer| answer.pause(now));
        }
        for id in self.scheduler.running_ids(&step.plan) {
            let cached = self.scheduler.cached_tokens(id);
            if let Some(answer) = self.answers.get_mut(&id) {
                answer.start(now, cached);
            }
        }
    }

    /// Runs the step through all ranks; logits of the head rows.
    pub(crate) fn compute(&mut self, plan: &BatchPlan, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        let rows = self.begin(plan, tokens)?;
        let rows = self.end(plan, rows)?;
        self.logits(plan, &rows)
    }

    /// Logits of head rows, which are all of the plan's where ranks share the head.
    fn logits(&mut self, plan: &BatchPlan, rows: &[f32]) -> Result<Vec<f32>, EngineError> {
        let Some(head) = &mut self.head else { return Ok(Vec::new()) };
        if self.next.is_some() {
            // Who has all layers has the rows already.
            self.stage.lead(Work::Head, plan, rows)?;
        }
        Ok(head.logits(&mut self.stage, rows)?)
    }

    /// Runs a step through this rank's layers and sends it on; its head rows, if no other rank has to bring them.
    fn begin(&mut self, plan: &BatchPlan, tokens: &[u32]) -> Result<Option<Vec<f32>>, EngineError> {
        let mut hidden = self.embedding.rows_of(self.stage.parts(0).0, plan, tokens)?;
        self.stage.lead(Work::Layers, plan, &hidden)?;
        self.stage.forward(plan, &mut hidden)?;
        match &mut self.next {
            Some(next) => next.send(plan, &hidden).map(|()| None).map_err(EngineError::next_stages),
            None if self.holds_all_layers => Ok(Some(plan.select_head_rows(&hidden, self.config().hidden))),
            None => Err(not_connected()),
        }
    }

    /// The head rows of the oldest step: `rows`, or what comes back of it.
    fn end(&mut self, plan: &BatchPlan, rows: Option<Vec<f32>>) -> Result<Vec<f32>, EngineError> {
        let rows = match rows {
            Some(rows) => rows,
            None => {
                let next = self.next.as_mut().ok_or_else(not_connected)?;
                next.receive(plan).map_err(EngineError::next_stages)?
            }
        };
        let expected = plan.head_rows() * self.config().hidden;
        if rows.len() != expected {
            return Err(EngineError::next_stages(
                format!("{} values came back instead of {expected}", rows.len()).into(),
            ));
        }
        Ok(rows)
    }

    /// Goes on with the answers whose grammar was still computing, waiting at most `patience` for all of them.
    fn resume_parked(&mut self, patience: Duration, outputs: &mut Vec<Output>) {
        let begin = Instant::now();
        let parked: Vec<u64> =
            self.answers.iter().filter(|(_, answer)| answer.is_parked()).map(|(id, _)| *id).collect();
        for id in parked {
            if let Some(mut logits) = self.answers.get_mut(&id).and_then(Answer::unpark) {
                let advanced = self.take_next(id, &mut logits, patience.saturating_sub(begin.elapsed()));
                outputs.extend(advanced.map(|(output, _)| output));
            }
        }
    }

    /// Takes the next tokens of request `id`: the first row's, and each further row's as long as it was guessed right.
    fn advance<'a>(
        &mut self,
        id: u64,
        rows: impl Iterator<Item = &'a mut [f32]>,
        begin: Instant,
        outputs: &mut Vec<Output>,
    ) {
        let mut goes_on = true;
        // All rows are drawn, for those of the next request lie behind them.
        for logits in rows {
            if goes_on {
                let advanced = self.take_next(id, logits, GRAMMAR_PATIENCE.saturating_sub(begin.elapsed()));
                goes_on = advanced.as_ref().is_some_and(|(_, goes_on)| *goes_on);
                outputs.extend(advanced.map(|(output, _)| output));
            }
        }
    }

    /// Takes the next token of request `id` from its logits, waiting at most `patience` for its grammar; whether the
    /// row behind it holds.
    fn take_next(&mut self, id: u64, logits: &mut [f32], patience: Duration) -> Option<(Output, bool)> {
        let answer = self.answers.get_mut(&id)?;
        let now = Instant::now();
        let (output, was_guessed) = match answer.choose(logits, patience, &self.tokenizer, now) {
            Choice::Token(sampled) => {
                let Accepted { is_last, was_guessed } = self.scheduler.accept(id, sampled.token);
                (answer.push(sampled, is_last, &self.tokenizer, now), was_guessed)
            }
            Choice::Later => {
                self.scheduler.hold(id);
                return None;
            }
            Choice::End(finish) => (answer.end(finish), false),
        };
        if output.finish.is_some() {
            self.scheduler.remove(id);
            self.answers.remove(&id);
        }
        Some((output, was_guessed))
    }

    /// Most tokens of a sequence in one step.
    pub(crate) fn prefill_chunk(&self) -> usize {
        self.stage.limits().prompt_tokens() as usize
    }

    /// Number of a step that does not come from the scheduler. The slots are forgotten, as the step may write there.
    pub(crate) fn next_step_number(&mut self) -> u64 {
        self.scheduler.foreign_step()
    }

    fn check_prompt(&self, tokens: &[u32], wants: Wants) -> Result<(), SubmitError> {
        self.check_known(tokens)?;
        let context = self.context as usize;
        // Only text needs room behind the prompt.
        let most = if wants == Wants::Tokens { context - 1 } else { context };
        match tokens.len() {
            0 => Err(SubmitError::EmptyPrompt),
            prompt_tokens if prompt_tokens > most => Err(SubmitError::PromptTooLong { prompt_tokens, context }),
            _ => Ok(()),
        }
    }
}

fn not_connected() -> EngineError {
    EngineError::next_stages("the nodes with the other layers are not connected".into())
}
