//! Clients: they place, delete and chat, and hold the cluster to what they were told.

use crate::findings::Findings;
use crate::invariants::one_outcome::OneOutcome;
use crate::invariants::{ends_by_deadline, one_outcome};
use crate::oracle::{Asked, Commanded, Oracle};
use crate::trace::Trace;
use crate::workload::{chat_request, placement};
use exo_ambient::{Dice, Skew, fresh_id};
use exo_api::DirectApi;
use exo_node::{CommandError, NodeHandle};
use exo_types::{Command, CommandId, CommandReply, InstanceId, RefusalCode, RequestId, StreamChunk};
use exo_wire::ApiError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Instances that clients want at the same time, at most.
const INSTANCES: usize = 3;

/// No client waits longer for anything.
pub(crate) const LONGEST: Duration = Duration::from_secs(8);

/// An api that runs.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) api: DirectApi,
    pub(crate) node: NodeHandle,
    /// The clock of its machine, by which it serves.
    pub(crate) skew: Skew,
    /// Cancelled when its process is gone: its clients then see their connections end.
    pub(crate) gone: CancellationToken,
}

/// Where an api is found, while there is one. A clone is the same place.
#[derive(Clone, Default)]
pub(crate) struct Door(Arc<Mutex<Option<Gate>>>);

impl Door {
    pub(crate) fn open(&self, gate: Gate) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(gate);
    }

    /// Whoever is inside sees the end.
    pub(crate) fn close(&self) {
        let gate = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(gate) = gate {
            gate.gone.cancel();
        }
    }

    pub(crate) fn gate(&self) -> Option<Gate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where what clients see goes.
#[derive(Clone)]
pub(crate) struct Books {
    pub(crate) trace: Trace,
    pub(crate) findings: Findings,
    pub(crate) oracle: Oracle,
}

/// Asks one api, now this, now that.
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) door: Door,
    pub(crate) books: Books,
    pub(crate) dice: Dice,
}

impl Client {
    /// Asks until `stop`, and then waits for what is open.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut open = JoinSet::new();
        loop {
            let pause = Duration::from_millis(50 + self.dice.below(700));
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
            while open.try_join_next().is_some() {}
            let Some(gate) = self.door.gate() else { continue };
            self.ask(gate, &mut open);
        }
        while open.join_next().await.is_some() {}
    }

    fn patience(&mut self) -> Duration {
        let least = Duration::from_secs(1);
        least + Duration::from_millis(self.dice.below((LONGEST - least).as_millis() as u64))
    }

    fn ask(&mut self, gate: Gate, open: &mut JoinSet<()>) {
        let state = gate.api.view().state;
        let instances: Vec<InstanceId> = state.instances.keys().cloned().collect();
        let (books, name, skew) = (self.books.clone(), self.name.clone(), gate.skew.clone());
        match self.dice.below(10) {
            0 | 1 if instances.len() < INSTANCES => {
                let command = placement(1 + self.dice.below(2) as u32);
                let within = self.patience();
                open.spawn(skew.applied(async move { drop(books.command(&name, gate, command, within).await) }));
            }
            2 if !instances.is_empty() => {
                let instance_id = instances[self.dice.below(instances.len() as u64) as usize].clone();
                let within = self.patience();
                let command = Command::DeleteInstance { instance_id };
                open.spawn(skew.applied(async move { drop(books.command(&name, gate, command, within).await) }));
            }
            _ => {
                let tokens = 1 + self.dice.below(30) as u32;
                let within = self.patience();
                open.spawn(skew.applied(async move { drop(books.chat(&name, gate, tokens, within).await) }));
            }
        }
    }
}

impl Books {
    /// Sends a command and writes down what becomes of it. `Err` says why it was not accepted.
    pub(crate) async fn command(
        &self,
        who: &str,
        gate: Gate,
        command: Command,
        within: Duration,
    ) -> Result<(), String> {
        let id = CommandId::new(fresh_id()).expect("hexadecimal digits are an id");
        let asked = Asked::of(&command, &gate.api.view().state);
        let what = asked.name();
        self.oracle.note(&id, &asked, Commanded::UnderWay);
        let started = Instant::now();
        let commands = gate.node.commands();
        // The client knows the id; it does not know whether somebody who went away passed the command on.
        let answer = tokio::select! {
            biased;
            () = gate.gone.cancelled() => None,
            answer = commands.send_as(id.clone(), command, within) => Some(answer),
        };
        drop(gate.api);
        let (commanded, told) = learnt(answer);
        self.findings.check(ends_by_deadline::NAME, ends_by_deadline::check(what, started.elapsed(), within));
        self.oracle.note(&id, &asked, commanded);
        self.trace.say(format_args!("{who}: {what} {id}: {commanded:?}, {told}"));
        if commanded == Commanded::Accepted { Ok(()) } else { Err(told) }
    }

    /// Asks for tokens and checks what comes. `Err` says why the answer is not whole.
    pub(crate) async fn chat(&self, who: &str, gate: Gate, tokens: u32, within: Duration) -> Result<(), String> {
        let id = RequestId::new(fresh_id()).expect("hexadecimal digits are an id");
        let started = Instant::now();
        let mut outcome = OneOutcome::default();
        let told = tokio::select! {
            biased;
            () = gate.gone.cancelled() => "the api is gone".to_owned(),
            told = self.read(&gate.api, &id, tokens, started + within, &mut outcome) => told,
        };
        self.findings.check(ends_by_deadline::NAME, ends_by_deadline::check("a chat", started.elapsed(), within));
        self.trace.say(format_args!("{who}: chat {id} over {tokens} tokens: {told}"));
        if outcome.is_answered() { Ok(()) } else { Err(told) }
    }

    async fn read(
        &self,
        api: &DirectApi,
        id: &RequestId,
        tokens: u32,
        deadline: Instant,
        outcome: &mut OneOutcome,
    ) -> String {
        let closing = CancellationToken::new();
        let mut generation = match api.generate(id, chat_request(tokens), deadline, closing).await {
            Ok(generation) => generation,
            Err(error) => return self.failed(outcome, &error),
        };
        let mut told = "ended without an end".to_owned();
        while let Some(piece) = generation.next().await {
            match piece {
                Ok(StreamChunk::Token(token)) => {
                    self.findings.check(one_outcome::NAME, outcome.on_token(&token));
                    "answered".clone_into(&mut told);
                }
                Ok(StreamChunk::PrefillProgress(_) | StreamChunk::Embedding(_)) => {}
                Ok(StreamChunk::Error(error)) => told = self.failed(outcome, &ApiError::from(&error)),
                Err(error) => told = self.failed(outcome, &error),
            }
        }
        if !outcome.is_answered() && told == "answered" {
            self.findings.check(one_outcome::NAME, outcome.on_failure());
            "cut off without a word".clone_into(&mut told);
        }
        told
    }

    fn failed(&self, outcome: &mut OneOutcome, error: &ApiError) -> String {
        self.findings.check(one_outcome::NAME, outcome.on_failure());
        format!("failed, {}", error.code)
    }
}

/// What an answer says for certain.
fn learnt(answer: Option<Result<CommandReply, CommandError>>) -> (Commanded, String) {
    match answer {
        None => (Commanded::Unknown, "the api is gone".to_owned()),
        Some(Ok(CommandReply::Accepted { .. })) => (Commanded::Accepted, "accepted".to_owned()),
        Some(Ok(CommandReply::Refused(refusal))) if refusal.code == RefusalCode::OutcomeUnknown => {
            (Commanded::Unknown, refusal.message)
        }
        Some(Ok(CommandReply::Refused(refusal))) => (Commanded::Refused, refusal.message),
        Some(Err(CommandError::NoLeader)) => (Commanded::Refused, "nobody leads".to_owned()),
        Some(Err(error)) => (Commanded::Unknown, error.to_string()),
    }
}
