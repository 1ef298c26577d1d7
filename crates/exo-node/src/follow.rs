//! Carries messages to and from the [`Follower`].

use crate::recent::Recent;
use crate::views::ViewWriter;
use crate::{Fetch, Follower, PageError};
use exo_bus::{Bus, BusError, PresenceChange, PresenceWatch, RecvError, RequestError, Subscription, TokenId, topics};
use exo_types::{ElectionMessage, EventLogPage, GlobalEvents, MasterPresence, NodeId};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a master may take for a page of its log; then another is asked.
const PAGE_DEADLINE: Duration = Duration::from_secs(2);

/// What the follower listens to.
pub(crate) struct FollowInputs {
    events: Subscription<GlobalEvents>,
    announcements: Subscription<ElectionMessage>,
    masters: PresenceWatch<MasterPresence>,
}

impl FollowInputs {
    /// Listens before it looks who is there, so that nothing falls in between.
    pub(crate) async fn open(bus: &Bus) -> Result<Self, BusError> {
        Ok(Self {
            events: bus.subscribe(topics::GLOBAL_EVENTS).await?,
            announcements: bus.subscribe(topics::ELECTION_MESSAGES).await?,
            masters: bus.watch(topics::MASTER).await?,
        })
    }
}

/// What can happen.
enum Cause {
    Events(Result<GlobalEvents, RecvError>),
    Announcement(Result<ElectionMessage, RecvError>),
    Master(Result<PresenceChange<MasterPresence>, RecvError>),
    Page(Result<EventLogPage, RequestError>),
    Timeout,
    Stop,
}

type PageFuture = Pin<Box<dyn Future<Output = Result<EventLogPage, RequestError>> + Send>>;

/// Keeps the view up to date until it is stopped or the bus is closed.
pub(crate) async fn follow(bus: Bus, inputs: FollowInputs, view: ViewWriter, recent: Recent, stop: CancellationToken) {
    let mut driver = Driver { bus, inputs, follower: Follower::default(), tokens: BTreeMap::new(), page: None };
    loop {
        let cause = driver.next(&stop).await;
        if !driver.on(cause) {
            // From now on nobody tells this process who is lost.
            driver.bus.follow(None);
            return;
        }
        for name in driver.follower.take_unreadable() {
            tracing::warn!(name, "an event of a newer version was skipped; update exo on this node");
        }
        driver.bus.count_other_session(driver.follower.take_foreign());
        let folded = driver.follower.take_folded();
        if let Some(change) = driver.follower.take_change() {
            // Whoever the view wakes finds the events that made it.
            recent.extend(change.state.session.as_ref(), folded);
            driver.bus.follow(change.leader.as_ref());
            view.publish(change);
        }
        driver.ask();
    }
}

struct Driver {
    bus: Bus,
    inputs: FollowInputs,
    follower: Follower,
    /// The announcement by which each master is known; an older one that ends later says nothing.
    tokens: BTreeMap<NodeId, TokenId>,
    page: Option<PageFuture>,
}

impl Driver {
    async fn next(&mut self, stop: &CancellationToken) -> Cause {
        // Nothing more is asked while a page is under way: its end is what to wait for.
        let timeout = self.follower.poll_timeout().filter(|_| self.page.is_none()).map(Instant::from_std);
        tokio::select! {
            biased;
            () = stop.cancelled() => Cause::Stop,
            change = self.inputs.masters.recv() => Cause::Master(change),
            events = self.inputs.events.recv() => Cause::Events(events),
            page = wait_for(&mut self.page) => Cause::Page(page),
            announcement = self.inputs.announcements.recv() => Cause::Announcement(announcement),
            () = sleep_until(timeout) => Cause::Timeout,
        }
    }

    /// False when nothing will come any more.
    fn on(&mut self, cause: Cause) -> bool {
        let now = Instant::now().into_std();
        match cause {
            Cause::Stop => return false,
            Cause::Events(Ok(events)) => self.follower.on_events(now, events),
            Cause::Announcement(Ok(message)) => self.follower.on_announcement(now, &message),
            Cause::Master(Ok(change)) => self.on_master(change),
            Cause::Page(page) => self.on_page(page),
            Cause::Events(Err(error)) => return self.on_recv_error(&error),
            Cause::Announcement(Err(error)) | Cause::Master(Err(error)) => return self.on_recv_error(&error),
            Cause::Timeout => self.follower.handle_timeout(now),
        }
        true
    }

    fn on_master(&mut self, change: PresenceChange<MasterPresence>) {
        match change {
            PresenceChange::Joined { node, token, payload } => {
                self.tokens.insert(node.clone(), token);
                self.follower.on_master(Instant::now().into_std(), node, payload);
            }
            PresenceChange::Left { node, token } => {
                if self.tokens.get(&node) == Some(&token) {
                    self.tokens.remove(&node);
                    self.follower.on_master_left(Instant::now().into_std(), &node);
                }
            }
        }
    }

    fn on_page(&mut self, page: Result<EventLogPage, RequestError>) {
        self.page = None;
        let now = Instant::now().into_std();
        match page {
            Ok(page) => match self.follower.on_page(now, page) {
                Ok(()) => {}
                Err(error @ PageError::Behind { .. }) => tracing::debug!(%error, "trying again"),
                Err(error) => tracing::warn!(%error, "a page of the log was of no use; trying again"),
            },
            Err(error) => {
                tracing::debug!(%error, "the log could not be read; trying again");
                self.follower.on_fetch_failed(now);
            }
        }
    }

    fn on_recv_error(&mut self, error: &RecvError) -> bool {
        match error {
            RecvError::Closed => return false,
            RecvError::Lagged(_) => self.follower.on_lost(Instant::now().into_std()),
            RecvError::Undecodable { .. } => {
                tracing::warn!(%error, "skipped");
                self.follower.on_lost(Instant::now().into_std());
            }
        }
        true
    }

    fn ask(&mut self) {
        if self.page.is_some() {
            return;
        }
        if let Some(Fetch { from, request }) = self.follower.poll_fetch(Instant::now().into_std()) {
            let bus = self.bus.clone();
            let ask = async move { bus.request(topics::EVENT_LOG, &from, &request, PAGE_DEADLINE).await };
            self.page = Some(Box::pin(ask));
        }
    }
}

async fn wait_for(page: &mut Option<PageFuture>) -> Result<EventLogPage, RequestError> {
    match page {
        Some(page) => page.await,
        None => std::future::pending().await,
    }
}

/// Sleeps until then, or for ever.
pub(crate) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
