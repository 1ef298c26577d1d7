//! A node and its masters over the memory bus, under paused time: what happens to commands and gaps while the leader
//! changes, is silent or unsure.

use exo_bus::{Bus, MemoryNetwork, PresenceToken, topics};
use exo_node::{CommandError, Identity, Node, NodeHandle, Role};
use exo_types::{
    Candidate, Command, CommandId, CommandReply, Event, EventIndex, EventLogPage, GlobalEvents, IndexedEvent,
    InstanceId, MasterPresence, Millis, NodeId, Refusal, RefusalCode, SessionId,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn session() -> SessionId {
    SessionId { generation: 1, master_node_id: node("a") }
}

fn presence(leading: bool, term: u64) -> MasterPresence {
    let candidate = Candidate { session: session(), seniority: 0, commands_seen: 0 };
    MasterPresence { leading, term, ..MasterPresence::leading(candidate) }
}

fn command() -> Command {
    Command::DeleteInstance { instance_id: InstanceId::new("i").expect("a good id") }
}

/// What a master does with a command.
#[derive(Clone)]
enum Does {
    Accept,
    Refuse(Refusal),
    /// Takes it and never answers.
    Swallow,
}

/// A master of the session, with a log of so many events.
struct Master {
    bus: Bus,
    token: PresenceToken<MasterPresence>,
    does: Arc<Mutex<Does>>,
    asked: Arc<Mutex<Vec<CommandId>>>,
    pages: Arc<Mutex<u32>>,
    _tasks: JoinSet<()>,
}

impl Master {
    async fn start(network: &MemoryNetwork, name: &str, said: MasterPresence, serves_log: bool) -> Self {
        let bus = network.join(node(name)).await.expect("joins");
        let (does, asked) = (Arc::new(Mutex::new(Does::Accept)), Arc::new(Mutex::new(Vec::new())));
        let pages = Arc::new(Mutex::new(0));
        let mut tasks = JoinSet::new();
        let mut commands = bus.serve(topics::COMMAND).await.expect("serves");
        let (doing, noting) = (does.clone(), asked.clone());
        tasks.spawn(async move {
            let mut swallowed = Vec::new();
            while let Ok(incoming) = commands.recv().await {
                let command_id = incoming.request.command_id.clone();
                noting.lock().expect("no test panics here").push(command_id.clone());
                let does = doing.lock().expect("no test panics here").clone();
                let reply = match does {
                    Does::Accept => CommandReply::Accepted { command_id, task_id: None, instance_id: None },
                    Does::Refuse(refusal) => CommandReply::Refused(refusal),
                    Does::Swallow => {
                        swallowed.push(incoming);
                        continue;
                    }
                };
                let _ = incoming.reply(&reply);
            }
        });
        let mut requests = bus.serve(topics::EVENT_LOG).await.expect("serves");
        let counting = pages.clone();
        tasks.spawn(async move {
            let mut swallowed = Vec::new();
            while let Ok(incoming) = requests.recv().await {
                if !serves_log {
                    swallowed.push(incoming);
                    continue;
                }
                *counting.lock().expect("no test panics here") += 1;
                let event = Event::SessionOpened { session: session(), when: Millis(0) };
                let events = vec![IndexedEvent { idx: EventIndex(1), origin: None, event }];
                let page = EventLogPage { events, ..EventLogPage::empty(session(), EventIndex(1)) };
                let _ = incoming.reply(&page);
            }
        });
        let token = bus.announce(topics::MASTER, &said).await.expect("announces");
        Self { bus, token, does, asked, pages, _tasks: tasks }
    }

    fn does(&self, does: Does) {
        *self.does.lock().expect("no test panics here") = does;
    }

    fn asked(&self) -> Vec<CommandId> {
        self.asked.lock().expect("no test panics here").clone()
    }

    async fn says(&mut self, presence: MasterPresence) {
        self.token.update(&presence).await.expect("announces");
    }
}

async fn follower(network: &MemoryNetwork) -> NodeHandle {
    let bus = network.join(node("w")).await.expect("joins");
    let identity = Identity { node_id: node("w"), role: Role::Worker };
    let node = Node::join(&bus, identity).await.expect("joins");
    // The bus lives as long as the node's tasks do.
    drop(bus);
    node
}

async fn until_led_by(handle: &NodeHandle, leader: &str) {
    let mut view = handle.view();
    let led = view.wait_for(|view| view.leader == Some(node(leader)) && view.is_joined());
    timeout(SECOND * 20, led).await.expect("soon").expect("it follows");
}

fn is_accepted(reply: &Result<CommandReply, CommandError>) -> bool {
    matches!(reply, Ok(CommandReply::Accepted { .. }))
}

#[tokio::test(start_paused = true)]
async fn a_command_goes_on_to_the_new_leader_at_once_and_under_the_same_id() {
    let network = MemoryNetwork::new(1);
    let a = Master::start(&network, "a", presence(true, 1), true).await;
    let mut b = Master::start(&network, "b", presence(false, 1), true).await;
    let handle = follower(&network).await;
    until_led_by(&handle, "a").await;
    a.does(Does::Swallow);
    let begin = Instant::now();
    let commands = handle.commands();
    let sending = commands.send(command(), SECOND * 30);
    let changing = async {
        tokio::time::sleep(SECOND / 2).await;
        b.says(presence(true, 2)).await;
    };
    let (reply, ()) = tokio::join!(sending, changing);
    assert!(is_accepted(&reply), "{reply:?}");
    assert!(begin.elapsed() < SECOND, "{:?}", begin.elapsed());
    assert_eq!((a.asked().len(), a.asked()), (1, b.asked()), "the same id");
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_nobody_tells_is_unknown_at_the_deadline() {
    let network = MemoryNetwork::new(2);
    let a = Master::start(&network, "a", presence(true, 1), true).await;
    let handle = follower(&network).await;
    until_led_by(&handle, "a").await;
    for does in [Does::Swallow, Does::Refuse(Refusal::new(RefusalCode::OutcomeUnknown, "the leader changed"))] {
        a.does(does);
        let begin = Instant::now();
        let reply = handle.commands().send(command(), SECOND * 5).await;
        assert!(matches!(reply, Err(CommandError::Unknown { .. })), "{reply:?}");
        assert!(begin.elapsed() <= SECOND * 5, "{:?}", begin.elapsed());
    }
    // It stays unknown when the leader dies with it, though nobody leads then.
    a.does(Does::Swallow);
    let commands = handle.commands();
    let killing = async {
        tokio::time::sleep(SECOND).await;
        network.kill(a.bus.process());
    };
    let (reply, ()) = tokio::join!(commands.send(command(), SECOND * 5), killing);
    assert!(matches!(reply, Err(CommandError::Unknown { .. })), "{reply:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_never_sent_was_not_carried_out() {
    let network = MemoryNetwork::new(3);
    let handle = follower(&network).await;
    let reply = handle.commands().send(command(), SECOND * 60).await;
    assert!(matches!(reply, Err(CommandError::NoLeader)), "{reply:?}");
    // Nor was what is refused for want of leadership.
    let a = Master::start(&network, "a", presence(true, 1), true).await;
    until_led_by(&handle, "a").await;
    a.does(Does::Refuse(Refusal::not_leader(None)));
    let reply = handle.commands().send(command(), SECOND * 2).await;
    assert!(matches!(reply, Err(CommandError::NoLeader)), "{reply:?}");
}

#[tokio::test(start_paused = true)]
async fn a_master_that_knows_who_leads_is_believed_but_not_for_ever() {
    let network = MemoryNetwork::new(4);
    let a = Master::start(&network, "a", presence(true, 1), true).await;
    let b = Master::start(&network, "b", presence(false, 1), true).await;
    let handle = follower(&network).await;
    until_led_by(&handle, "a").await;
    a.does(Does::Refuse(Refusal::not_leader(Some(node("b")))));
    let begin = Instant::now();
    let reply = handle.commands().send(command(), SECOND * 5).await;
    assert!(is_accepted(&reply) && begin.elapsed() < SECOND / 10, "{reply:?}");
    // Two that point at each other are not asked without pause.
    b.does(Does::Refuse(Refusal::not_leader(Some(node("a")))));
    let reply = handle.commands().send(command(), SECOND * 5).await;
    assert!(matches!(reply, Err(CommandError::NoLeader)), "{reply:?}");
    assert!(a.asked().len() < 100, "{}", a.asked().len());
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_closed_by_another_master_while_the_leader_is_silent() {
    let network = MemoryNetwork::new(5);
    let a = Master::start(&network, "a", presence(true, 1), false).await;
    let b = Master::start(&network, "b", presence(false, 1), true).await;
    let handle = follower(&network).await;
    let mut view = handle.view();
    let joined = timeout(SECOND * 10, view.wait_for(|view| view.is_joined())).await;
    let joined = joined.expect("soon").expect("it follows").clone();
    assert_eq!((joined.leader, joined.masters.len()), (Some(node("a")), 2));
    let count = |master: &Master| *master.pages.lock().expect("no test panics here");
    assert_eq!((count(&a), count(&b)), (0, 1), "one answer, to the asker alone");
}

#[tokio::test(start_paused = true)]
async fn events_of_another_session_are_counted_and_change_nothing() {
    let network = MemoryNetwork::new(6);
    let a = Master::start(&network, "a", presence(true, 1), true).await;
    let bus = network.join(node("w")).await.expect("joins");
    let handle = Node::join(&bus, Identity { node_id: node("w"), role: Role::Worker }).await.expect("joins");
    until_led_by(&handle, "a").await;
    // The next event by its number, of a session that has ended.
    let event = IndexedEvent { idx: EventIndex(2), origin: None, event: Event::NodeTimedOut { node_id: node("w") } };
    let session = SessionId { generation: 0, master_node_id: node("old") };
    for _ in 0..3 {
        let replayed = GlobalEvents { session: session.clone(), events: vec![event.clone()] };
        a.bus.publish(topics::GLOBAL_EVENTS, &replayed).await.expect("leaves");
    }
    let counted = bus.links_where(|links| links.refused.get("other_session") == Some(&3));
    timeout(SECOND, counted).await.expect("all are counted");
    assert_eq!(handle.view().borrow().state.last_event_applied_idx, EventIndex(1));
}
