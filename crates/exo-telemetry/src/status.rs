//! What the service manager is told.

use sd_notify::NotifyState;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Where the messages go; systemd's socket, or a test's list.
type Send = Box<dyn Fn(&[NotifyState<'_>]) + std::marker::Send + Sync>;

/// The one voice of this process towards systemd. The process is ready when all its services are, and it keeps the
/// watchdog quiet only while all of them beat. Without systemd every call does nothing.
#[derive(Clone)]
pub struct Notifier(Arc<Shared>);

struct Shared {
    send: Send,
    watchdog: Option<Duration>,
    services: Mutex<Services>,
}

#[derive(Default)]
struct Services {
    all: Vec<Service>,
    ready_sent: bool,
    stopping_sent: bool,
    last_keep_alive: Option<Instant>,
}

struct Service {
    name: &'static str,
    ready: bool,
    status: String,
    last_beat: Option<Instant>,
}

impl Notifier {
    /// Speaks to the service manager that started this process, if there is one.
    pub fn from_environment() -> Self {
        let send = |states: &[NotifyState<'_>]| {
            if let Err(error) = sd_notify::notify(states) {
                tracing::debug!(%error, "the service manager did not take a message");
            }
        };
        Self::new(Box::new(send), sd_notify::watchdog_enabled())
    }

    fn new(send: Send, watchdog: Option<Duration>) -> Self {
        Self(Arc::new(Shared { send, watchdog, services: Mutex::default() }))
    }

    /// The process drains. Told once.
    pub fn stopping(&self) {
        self.0.stopping();
    }

    /// The configuration is being read again; [`reloaded`](Self::reloaded) has to follow.
    pub fn reloading(&self) {
        // systemd tells by the time which SIGHUP this answers.
        let Ok(now) = NotifyState::monotonic_usec_now() else { return };
        (self.0.send)(&[NotifyState::Reloading, now]);
    }

    /// The reload is over, well or badly.
    pub fn reloaded(&self) {
        (self.0.send)(&[NotifyState::Ready]);
    }

    /// Nothing is done for now, and on purpose: tells so, and keeps the watchdog quiet. To be repeated every
    /// [`rest_period`](Self::rest_period).
    pub fn rest(&self, why: &str) {
        (self.0.send)(&[NotifyState::Status(&one_line(why)), NotifyState::Watchdog]);
    }

    /// How often a process that rests has to say so.
    pub fn rest_period(&self) -> Duration {
        self.0.beat_period()
    }

    /// Why the process ends, or cannot begin: the line in `systemctl status` until it is started again.
    pub fn failed(&self, reason: &str) {
        (self.0.send)(&[NotifyState::Status(&one_line(reason))]);
    }

    /// One more service whose readiness and beats count. Call for all of them before the first is ready.
    pub fn service(&self, name: &'static str) -> ServiceStatus {
        let mut services = self.0.lock();
        services.all.push(Service { name, ready: false, status: String::new(), last_beat: None });
        ServiceStatus { shared: self.0.clone(), index: services.all.len() - 1 }
    }
}

/// How one service tells how it is. Cheap to clone.
#[derive(Clone)]
pub struct ServiceStatus {
    shared: Arc<Shared>,
    index: usize,
}

impl ServiceStatus {
    /// The service does its work. Counts as a beat.
    pub fn ready(&self) {
        let mut services = self.shared.lock();
        let service = &mut services.all[self.index];
        service.ready = true;
        service.last_beat = Some(Instant::now());
        if !services.ready_sent && services.all.iter().all(|service| service.ready) {
            services.ready_sent = true;
            (self.shared.send)(&[NotifyState::Ready]);
        }
    }

    /// One line for `systemctl status`.
    pub fn set_status(&self, text: impl Into<String>) {
        let text = text.into();
        let mut services = self.shared.lock();
        if services.all[self.index].status == text {
            return;
        }
        services.all[self.index].status = text;
        let line = services.line();
        (self.shared.send)(&[NotifyState::Status(&line)]);
    }

    /// The loop that matters went round. The watchdog hears of it when every service beat lately.
    pub fn beat(&self) {
        self.beat_at(Instant::now());
    }

    /// How often the loop must go round, beat or no other work.
    pub fn beat_period(&self) -> Duration {
        self.shared.beat_period()
    }

    /// The service drains. Told once for the whole process.
    pub fn stopping(&self) {
        self.shared.stopping();
    }

    fn beat_at(&self, now: Instant) {
        let Some(limit) = self.shared.watchdog else { return };
        let mut services = self.shared.lock();
        services.all[self.index].last_beat = Some(now);
        let recent = |at: Option<Instant>, within: Duration| at.is_some_and(|at| now.duration_since(at) < within);
        let said_lately = recent(services.last_keep_alive, limit / 4);
        // A service that is not ready yet has its start-up timeout instead.
        let all_beat = services.all.iter().all(|service| !service.ready || recent(service.last_beat, limit / 2));
        if all_beat && !said_lately {
            services.last_keep_alive = Some(now);
            (self.shared.send)(&[NotifyState::Watchdog]);
        }
    }
}

impl fmt::Debug for ServiceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceStatus({})", self.shared.lock().all[self.index].name)
    }
}

impl Shared {
    fn beat_period(&self) -> Duration {
        self.watchdog.map_or(Duration::from_secs(5), |limit| limit / 4)
    }

    fn stopping(&self) {
        let mut services = self.lock();
        if !std::mem::replace(&mut services.stopping_sent, true) {
            (self.send)(&[NotifyState::Stopping]);
        }
    }

    /// Nothing is left half-changed by a panic in here: every change is one assignment.
    fn lock(&self) -> MutexGuard<'_, Services> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message is read line by line.
fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

impl Services {
    fn line(&self) -> String {
        let told = self.all.iter().filter(|service| !service.status.is_empty());
        match self.all.len() {
            1 => told.map(|service| service.status.clone()).collect(),
            _ => told.map(|service| format!("{}: {}", service.name, service.status)).collect::<Vec<_>>().join("; "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A notifier, and what it said.
    fn recorder(watchdog: Option<Duration>) -> (Notifier, Arc<Mutex<Vec<String>>>) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let list = said.clone();
        let send = move |states: &[NotifyState<'_>]| {
            list.lock().expect("no test panics here").extend(states.iter().map(ToString::to_string));
        };
        (Notifier::new(Box::new(send), watchdog), said)
    }

    fn take(said: &Mutex<Vec<String>>) -> Vec<String> {
        std::mem::take(&mut said.lock().expect("no test panics here"))
    }

    #[test]
    fn the_process_is_ready_when_its_last_service_is_and_says_so_once() {
        let (notifier, said) = recorder(None);
        let (master, worker) = (notifier.service("master"), notifier.service("worker"));
        master.ready();
        assert!(take(&said).is_empty());
        worker.ready();
        worker.ready();
        assert_eq!(take(&said), ["READY=1"]);
        master.stopping();
        worker.stopping();
        assert_eq!(take(&said), ["STOPPING=1"]);
    }

    #[test]
    fn the_status_names_the_services_if_there_are_several_and_is_not_repeated() {
        let (notifier, said) = recorder(None);
        let (master, worker) = (notifier.service("master"), notifier.service("worker"));
        master.set_status("leading");
        worker.set_status("2 runners");
        worker.set_status("2 runners");
        assert_eq!(take(&said), ["STATUS=master: leading", "STATUS=master: leading; worker: 2 runners"]);
    }

    #[test]
    fn a_reload_is_told_with_its_time_and_a_failure_in_one_line() {
        let (notifier, said) = recorder(None);
        notifier.reloading();
        notifier.reloaded();
        let told = take(&said);
        let [reloading, time, ready] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((reloading.as_str(), ready.as_str()), ("RELOADING=1", "READY=1"));
        let time = time.strip_prefix("MONOTONIC_USEC=").expect("the time");
        assert!(time.parse::<u64>().is_ok_and(|time| time > 0), "{time}");
        notifier.failed("port 1 is in use\n\n  stop the other program\n");
        assert_eq!(take(&said), ["STATUS=port 1 is in use; stop the other program"]);
    }

    #[test]
    fn the_watchdog_hears_nothing_while_one_service_is_stuck() {
        let (notifier, said) = recorder(Some(Duration::from_secs(8)));
        let (master, worker) = (notifier.service("master"), notifier.service("worker"));
        master.ready();
        worker.ready();
        take(&said);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        master.beat_at(at(1));
        master.beat_at(at(2));
        assert_eq!(take(&said), ["WATCHDOG=1"], "at most every quarter of the limit");
        for second in 5..20 {
            master.beat_at(at(second));
        }
        assert!(take(&said).is_empty(), "the worker is stuck");
        worker.beat_at(at(20));
        assert_eq!(take(&said), ["WATCHDOG=1"]);
    }
}
