//! Clients: they place and take away, they ask for texts, they compare what the nodes say.

use crate::chaos::history::{Deed, History, Outcome};
use crate::chaos::models::{Models, STEADY, WIDE};
use crate::cluster::{Api, Change, ChatAsk, REQUEST_DEADLINE, name_of};
use exo_testkit::Random;
use serde_json::Value;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Writers, each with models of its own.
pub const WRITERS: usize = 2;

/// Clients that ask for texts.
const ASKERS: usize = 3;

/// After what failed at once, so that a dead API is not asked a thousand times.
const PAUSE: Duration = Duration::from_millis(200);

/// Between two changes of a writer: each starts or ends a runner.
const WRITE_EVERY: Duration = Duration::from_millis(300);

/// Between two looks at the nodes' States.
const LOOK_EVERY: Duration = Duration::from_millis(700);

/// The clients never wait longer than this for the end of an answer: an API that was paused may take that much longer.
const LONGEST: Duration = Duration::from_secs(60);

/// All clients, at work until they are told to stop.
pub struct Load {
    clients: JoinSet<()>,
    stop: CancellationToken,
}

impl Load {
    /// Starts them.
    pub fn start(apis: &[Api], history: &Arc<History>, models: &Models, seed: u64) -> Self {
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        let mut random = Random::new(seed ^ 0x10ad);
        let client = |random: &mut Random| Client {
            apis: apis.to_vec(),
            history: history.clone(),
            random: random.fork(),
            stop: stop.clone(),
        };
        for writer in 0..WRITERS {
            clients.spawn(client(&mut random).write(models.of_writer(writer)));
        }
        for _ in 0..ASKERS {
            clients.spawn(client(&mut random).ask());
        }
        clients.spawn(client(&mut random).compare());
        Self { clients, stop }
    }

    /// Has them end what they are at. False if one does not, which means that a request is open.
    pub async fn stop(mut self) -> Result<(), String> {
        self.stop.cancel();
        let all = async {
            while let Some(ended) = self.clients.join_next().await {
                ended.map_err(|error| format!("a client ended by a defect: {error}"))?;
            }
            Ok(())
        };
        timeout(LONGEST + PAUSE, all).await.unwrap_or_else(|_| Err("a client's request never ended".to_owned()))
    }
}

struct Client {
    apis: Vec<Api>,
    history: Arc<History>,
    random: Random,
    stop: CancellationToken,
}

impl Client {
    fn any_api(&mut self) -> usize {
        usize::try_from(self.random.next_u64() % self.apis.len() as u64).unwrap_or_default()
    }

    async fn pause(&self, pause: Duration) {
        let _ = timeout(pause, self.stop.cancelled()).await;
    }

    /// Places its models and takes them away again, one at a time.
    async fn write(mut self, models: Vec<String>) {
        while !self.stop.is_cancelled() {
            let model = models[usize::try_from(self.random.next_u64()).unwrap_or_default() % models.len()].clone();
            let api = self.any_api();
            match placed(&self.apis[api], &model).await {
                None => self.pause(PAUSE).await,
                Some(instances) => match instances.first() {
                    Some(instance) => self.delete(api, &model, instance).await,
                    None => self.place(api, &model).await,
                },
            }
            self.pause(WRITE_EVERY).await;
        }
    }

    async fn place(&mut self, api: usize, model: &str) {
        let from = self.history.now();
        let outcome = match self.apis[api].place(model, 1).await {
            Change::Acked(body) => Outcome::Acked { instance: body["instance_id"].as_str().map(str::to_owned) },
            Change::Refused(code) => Outcome::Refused(code),
            Change::Unknown(why) => Outcome::Unknown(why),
        };
        self.history.wrote(model, Deed::Place, from, outcome);
    }

    async fn delete(&mut self, api: usize, model: &str, instance: &str) {
        let from = self.history.now();
        let outcome = match self.apis[api].delete(instance).await {
            Change::Acked(_) => Outcome::Acked { instance: None },
            Change::Refused(code) => Outcome::Refused(code),
            Change::Unknown(why) => Outcome::Unknown(why),
        };
        self.history.wrote(model, Deed::Delete { instance: instance.to_owned() }, from, outcome);
    }

    /// Asks for texts, long and short, and leaves some before they end.
    async fn ask(mut self) {
        while !self.stop.is_cancelled() {
            let api = self.any_api();
            let number = self.random.next_u64();
            let model = if number.is_multiple_of(4) { WIDE } else { STEADY };
            let max_tokens = 8 + u32::try_from(number >> 8 & 0xff).unwrap_or_default();
            let leave_after = number.is_multiple_of(7).then_some(5);
            let ask = ChatAsk { leave_after, ..ChatAsk::new(model, max_tokens, LONGEST) };
            let from = self.history.now();
            let answer = self.apis[api].chat(&ask).await;
            self.history.chatted(api, from, answer);
            self.pause(PAUSE).await;
        }
    }

    /// Two nodes that have applied the same events of the same session have the same State.
    async fn compare(self) {
        let mut seen: BTreeMap<(String, u64), (usize, u64)> = BTreeMap::new();
        while !self.stop.is_cancelled() {
            for (node, api) in self.apis.iter().enumerate() {
                let Some((place, digest)) = digest(api).await else { continue };
                let (first, known) = *seen.entry(place.clone()).or_insert((node, digest));
                if known != digest {
                    let (session, index) = place;
                    let text = format!("{} and {} at {index} of {session}", name_of(first), name_of(node));
                    self.history.events().disagreements.push(text);
                }
            }
            // What is long past cannot be met again.
            while seen.len() > 10_000 {
                seen.pop_first();
            }
            self.pause(LOOK_EVERY).await;
        }
    }
}

/// Instances of a model, if the API tells.
async fn placed(api: &Api, model: &str) -> Option<Vec<String>> {
    let state = api.get("/state").await?;
    let instances = state["instances"].as_object()?;
    let of_model = instances.iter().filter(|(_, i)| i["shardAssignments"]["modelCard"]["modelId"] == model);
    Some(of_model.map(|(name, _)| name.clone()).collect())
}

/// Session, index and digest of a State.
async fn digest(api: &Api) -> Option<((String, u64), u64)> {
    let (status, text) = api.get_within("/state", Duration::from_secs(5)).await?;
    let state: Value = (status == 200).then(|| serde_json::from_str(&text).ok())??;
    let index = state["lastEventAppliedIdx"].as_u64()?;
    let session = state["session"].as_object()?;
    let session = session.values().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    Some(((session, index), hasher.finish()))
}

/// One placement through this API, taken back at once, and one answer from it: it serves.
pub async fn serves(api: &Api, history: &History, node: usize, model: &str) -> bool {
    let from = history.now();
    let ask = ChatAsk::new(STEADY, 4, REQUEST_DEADLINE);
    let answer = api.chat(&ask).await;
    let answered = answer == crate::cluster::Answer::Whole;
    history.chatted(node, from, answer);
    answered && commands(api, history, model).await
}

async fn commands(api: &Api, history: &History, model: &str) -> bool {
    let from = history.now();
    match api.place(model, 1).await {
        Change::Acked(body) => {
            let instance = body["instance_id"].as_str().map(str::to_owned);
            history.wrote(model, Deed::Place, from, Outcome::Acked { instance });
            true
        }
        Change::Refused(code) => {
            history.wrote(model, Deed::Place, from, Outcome::Refused(code));
            false
        }
        Change::Unknown(why) => {
            history.wrote(model, Deed::Place, from, Outcome::Unknown(why));
            false
        }
    }
}

/// Waits until the model answers through this API, for `within` at most.
pub async fn wait_for_answer(api: &Api, model: &str, within: Duration) -> bool {
    let ask = ChatAsk::new(model, 4, within);
    let until_whole = async {
        while api.chat(&ask).await != crate::cluster::Answer::Whole {
            sleep(PAUSE).await;
        }
    };
    timeout(within, until_whole).await.is_ok()
}
