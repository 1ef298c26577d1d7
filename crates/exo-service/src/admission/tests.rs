//! The keeper of an identity over a memory bus, under paused time.

use super::*;
use exo_bus::MemoryNetwork;
use exo_identity::Approved;
use exo_node::Node;
use exo_types::{
    Candidate, CommandReply, Event, EventIndex, EventLogPage, IndexedEvent, MasterPresence, Millis, SessionId,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

const DAY: Duration = Duration::from_secs(24 * 3600);
const VALIDITY: Duration = DAY.saturating_mul(30);

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

/// What a master of a cluster does for its members here: it leads, has a log, admits, and renews.
async fn master(network: &MemoryNetwork, authority: Identity, tasks: &mut JoinSet<()>) {
    let bus = network.join(node("master")).await.expect("joins");
    let session = SessionId { generation: 1, master_node_id: node("master") };
    let mut renewals = bus.serve(topics::RENEW).await.expect("serves");
    let mut commands = bus.serve(topics::COMMAND).await.expect("serves");
    let mut pages = bus.serve(topics::EVENT_LOG).await.expect("serves");
    let candidate = Candidate { session: session.clone(), seniority: 0, commands_seen: 0 };
    let token = bus.announce(topics::MASTER, &MasterPresence::leading(candidate)).await.expect("announces");
    tasks.spawn(async move {
        let _there = (bus, token);
        loop {
            tokio::select! {
                Ok(asked) = renewals.recv() => {
                    let approved = Approved::check(&authority, &asked.request.0, SystemTime::now(), |_| None);
                    let reply = approved.expect("a member").grant(&authority, SystemTime::now()).expect("signs");
                    let _heard = asked.reply(&Blob(reply.encode().expect("short")));
                }
                Ok(asked) = commands.recv() => {
                    let command_id = asked.request.command_id.clone();
                    let _heard = asked.reply(&CommandReply::Accepted { command_id, task_id: None, instance_id: None });
                }
                Ok(asked) = pages.recv() => {
                    let opened = Event::SessionOpened { session: session.clone(), when: Millis(0) };
                    let events = vec![IndexedEvent { idx: EventIndex(1), origin: None, event: opened }];
                    let page = EventLogPage { events, ..EventLogPage::empty(session.clone(), EventIndex(1)) };
                    let _heard = asked.reply(&page);
                }
            }
        }
    });
}

/// A node whose identity is kept, with a certificate that ends so soon.
struct Kept {
    identity: Identity,
    folder: TempDir,
    tasks: JoinSet<()>,
}

impl Kept {
    async fn start(left: Duration, has_authority: bool) -> Self {
        let (network, mut tasks) = (MemoryNetwork::new(1), JoinSet::new());
        let folder = tempfile::tempdir().expect("a temporary directory");
        let data_dir = DataDir::open(folder.path(), Role::Worker).expect("it is ours");
        let store = IdentityStore::new(data_dir.path());
        let opening = Opening {
            node_id: data_dir.node_id().clone(),
            namespace: "lab",
            wants_authority: true,
            token: None,
            masters: &[],
            set_aside: &[],
            patience: Duration::ZERO,
            now: SystemTime::now() + left - VALIDITY,
        };
        let (mut identity, _) = Identity::open(&store, &opening).expect("founds");
        master(&network, identity.clone(), &mut tasks).await;
        if !has_authority {
            std::fs::remove_file(store.directory().join("cluster.key")).expect("the authority's key is there");
            let parts = store.load().expect("readable").expect("there");
            identity = Identity::from_parts(&parts).expect("good");
        }
        assert_eq!(identity.has_authority(), has_authority);
        let bus = network.join(identity.node_id()).await.expect("joins");
        let handle = Node::join(&bus, data_dir.identity()).await.expect("joins");
        let keeper = keep_identity(identity.clone(), Arc::new(data_dir), bus, handle, CancellationToken::new());
        tasks.spawn(keeper);
        Self { identity, folder, tasks }
    }

    /// How long it takes until the certificate is another.
    async fn renewed(&self) -> Duration {
        let (begin, before) = (Instant::now(), self.identity.not_after());
        let mut changes = self.identity.changes();
        while self.identity.not_after() == before {
            tokio::time::timeout(DAY, changes.changed()).await.expect("in time").expect("it lives");
        }
        begin.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_renewed_by_time_alone_and_before_it_ends() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    for has_authority in [true, false] {
        for (left, by) in [(DAY * 5, LOOK), (minutes(6), minutes(2)), (minutes(1), minutes(1) / 3)] {
            let kept = Kept::start(left, has_authority).await;
            let took = kept.renewed().await;
            let about = by.saturating_sub(Duration::from_secs(2))..=by + Duration::from_secs(1);
            assert!(about.contains(&took), "{left:?} before its end it took {took:?}");
            assert!(kept.identity.not_after() > SystemTime::now() + DAY * 29);
            let saved = IdentityStore::new(kept.folder.path()).load().expect("readable").expect("there");
            assert_eq!(saved, kept.identity.parts(), "what is shown stands on the disk");
            drop(kept.tasks);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_with_most_of_its_time_left_is_left_alone() {
    let kept = Kept::start(DAY * 25, true).await;
    let mut changes = kept.identity.changes();
    let before = kept.identity.not_after();
    let _nothing = tokio::time::timeout(DAY, changes.changed()).await;
    assert_eq!(kept.identity.not_after(), before);
    drop(kept.tasks);
}
