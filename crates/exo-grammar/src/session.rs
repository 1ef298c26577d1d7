//! One answer held to one grammar.

use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use exo_text::{TokenSet, Tokenizer};
use llguidance::Matcher;

use crate::{
    compile::{Compiler, first_line},
    error::GrammarError,
    grammar::Grammar,
};

/// Most threads at a time. Those of answers that nobody wants any more end with the work that they are at.
const MAX_SESSIONS: usize = 128;

/// Stack of such a thread; compilers recurse as deep as grammars are nested.
const STACK: usize = 32 << 20;

/// How an answer may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// With one of these tokens.
    Tokens(TokenSet),
    /// Not at all: it is complete.
    Nothing,
}

type Step = Result<Allowed, GrammarError>;

/// The grammars of one vocabulary.
#[derive(Clone)]
pub struct Grammars {
    shared: Arc<Shared>,
}

struct Shared {
    tokenizer: Arc<Tokenizer>,
    /// Made by the first session: it takes some tenths of a second and some megabytes.
    compiler: OnceLock<Result<Compiler, GrammarError>>,
    sessions: AtomicUsize,
}

/// Follows one answer. Dropping it ends its thread.
pub struct GrammarSession {
    tokens: SyncSender<u32>,
    steps: Receiver<Step>,
    step: Option<Step>,
    /// Tokens that the thread does not know yet.
    said: VecDeque<u32>,
}

impl Grammars {
    /// Nothing is computed before the first session.
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        let shared = Shared { tokenizer, compiler: OnceLock::new(), sessions: AtomicUsize::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// Starts to hold an answer to `grammar`. Returns at once; whether the grammar can be used is told by the first
    /// step.
    pub fn start(&self, grammar: Grammar) -> Result<GrammarSession, GrammarError> {
        grammar.check()?;
        let place = Place::take(&self.shared)?;
        let (tokens, tokens_in) = sync_channel(1);
        let (steps_out, steps) = sync_channel(1);
        let run = move || follow(&place.0, &grammar, &tokens_in, &steps_out);
        let spawned = thread::Builder::new().name("grammar".to_owned()).stack_size(STACK).spawn(run);
        spawned.map_err(|error| GrammarError::Thread(error.to_string()))?;
        Ok(GrammarSession { tokens, steps, step: None, said: VecDeque::new() })
    }
}

/// A place among the sessions, until it is dropped.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Result<Self, GrammarError> {
        let before = shared.sessions.fetch_add(1, Ordering::Relaxed);
        let place = Self(shared.clone());
        if before < MAX_SESSIONS { Ok(place) } else { Err(GrammarError::Busy(before)) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

impl GrammarSession {
    /// How the answer may go on; nothing while that is being computed.
    pub fn poll(&mut self) -> Option<&Step> {
        self.wait(Duration::ZERO)
    }

    /// How the answer may go on; nothing if that is not known within `patience`.
    pub fn wait(&mut self, patience: Duration) -> Option<&Step> {
        let begin = Instant::now();
        loop {
            if self.step.is_none() {
                self.step = self.receive(patience.saturating_sub(begin.elapsed()));
            }
            match &self.step {
                Some(Ok(_)) if !self.said.is_empty() => self.tell(),
                _ => return self.step.as_ref(),
            }
        }
    }

    /// Takes the next token of the answer: one of those that were allowed. Also before it is known what is allowed: for
    /// answers that go on behind tokens that they have.
    pub fn accept(&mut self, token: u32) {
        self.said.push_back(token);
        if self.step.as_ref().is_some_and(Result::is_ok) {
            self.tell();
        }
    }

    /// Tells the thread, which waits for it, of the oldest token that it does not know.
    fn tell(&mut self) {
        self.step = None;
        if let Some(token) = self.said.pop_front() {
            // A thread that ended says so when it is asked.
            let _ = self.tokens.try_send(token);
        }
    }

    fn receive(&self, patience: Duration) -> Option<Step> {
        let received = match patience.is_zero() {
            true => self.steps.try_recv().map_err(|error| error == TryRecvError::Empty),
            false => self.steps.recv_timeout(patience).map_err(|error| error == RecvTimeoutError::Timeout),
        };
        match received {
            Ok(step) => Some(step),
            Err(true) => None,
            Err(false) => Some(Err(GrammarError::Refused("its thread ended".to_owned()))),
        }
    }
}

/// The thread of a session: a step, a token, a step, a token.
fn follow(shared: &Shared, grammar: &Grammar, tokens: &Receiver<u32>, steps: &SyncSender<Step>) {
    let compiler = shared.compiler.get_or_init(|| Compiler::new(shared.tokenizer.clone()));
    let started = compiler.as_ref().map_err(Clone::clone).and_then(|compiler| {
        let matcher = compiler.compile(grammar)?;
        Ok((compiler.end, matcher))
    });
    let (end, mut matcher) = match started {
        Ok(started) => started,
        Err(error) => return drop(steps.send(Err(error))),
    };
    loop {
        let step = next_step(&mut matcher, end, &shared.tokenizer);
        if steps.send(step).is_err() {
            return;
        }
        let Ok(token) = tokens.recv() else { return };
        if matcher.consume_token(token).is_err() {
            return drop(steps.send(Err(too_complex(&matcher))));
        }
    }
}

fn next_step(matcher: &mut Matcher, end: u32, tokenizer: &Tokenizer) -> Step {
    if matcher.is_stopped() {
        return if matcher.stop_reason().is_ok() { Ok(Allowed::Nothing) } else { Err(too_complex(matcher)) };
    }
    let mask = matcher.compute_mask().map_err(|_| too_complex(matcher))?;
    // Looking for the mask may show that nothing can follow.
    if matcher.is_stopped() {
        return if matcher.stop_reason().is_ok() { Ok(Allowed::Nothing) } else { Err(too_complex(matcher)) };
    }
    let may_end = mask.get(end as usize);
    let mut allowed = TokenSet::from_words(mask.as_slice(), tokenizer.len());
    if may_end {
        tokenizer.ends().for_each(|token| allowed.insert(token));
    }
    if allowed.is_empty() {
        return if may_end { Ok(Allowed::Nothing) } else { Err(too_complex(matcher)) };
    }
    Ok(Allowed::Tokens(allowed))
}

fn too_complex(matcher: &Matcher) -> GrammarError {
    let reason = matcher.get_error().map_or_else(|| matcher.stop_reason().to_string(), |error| first_line(&error));
    GrammarError::TooComplex(reason)
}
