//! Against daemons that speak systemd's interfaces over a socket pair. The real ones answer in nixos-tests/.

#![expect(missing_docs, reason = "the macro writes a trait without words for the signals of an interface")]

use exo_systemd::{LinkState, ScopeLimits, Systemd, UnitState};
use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use zbus::object_server::SignalEmitter;
use zbus::zvariant::{OwnedFd, OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, Guid, fdo, interface};

const DEADLINE: Duration = Duration::from_secs(20);

type Listed = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);
type Started = (String, String, BTreeMap<String, String>);

fn path(path: &str) -> OwnedObjectPath {
    path.to_owned().try_into().expect("a good path")
}

struct Manager {
    started: Arc<Mutex<Vec<Started>>>,
}

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn list_units_by_names(&self, names: Vec<String>) -> Vec<Listed> {
        let list = |name: String| {
            let load = if name == "exo-api.service" { "not-found" } else { "loaded" };
            let [text, load, active, sub] = ["", load, "active", "running"].map(str::to_owned);
            let (unit, job) = (path("/org/freedesktop/systemd1/unit/exo"), path("/"));
            (name, text.clone(), load, active, sub, text.clone(), unit, 0, text, job)
        };
        names.into_iter().map(list).collect()
    }

    fn start_transient_unit(
        &self,
        name: String,
        mode: String,
        properties: Vec<(String, OwnedValue)>,
        _aux: Vec<(String, Vec<(String, OwnedValue)>)>,
    ) -> fdo::Result<OwnedObjectPath> {
        if !name.ends_with(".scope") {
            return Err(fdo::Error::AccessDenied("only scopes".to_owned()));
        }
        let properties =
            properties.into_iter().map(|(key, value)| (key, format!("{:?}", Value::from(value)))).collect();
        self.started.lock().expect("no test panics here").push((name, mode, properties));
        Ok(path("/org/freedesktop/systemd1/job/1"))
    }
}

struct Service;

#[interface(name = "org.freedesktop.systemd1.Service")]
impl Service {
    #[zbus(property)]
    fn status_text(&self) -> String {
        "leads session 1".to_owned()
    }

    #[zbus(property, name = "NRestarts")]
    fn restarts(&self) -> u32 {
        3
    }
}

struct Network;

#[interface(name = "org.freedesktop.network1.Manager")]
impl Network {
    fn list_links(&self) -> Vec<(i32, String, OwnedObjectPath)> {
        let link = |number: i32, name: &str| (number, name.to_owned(), path("/org/freedesktop/network1/link/_31"));
        vec![link(1, "lo"), link(2, "bond0")]
    }
}

struct Link;

#[interface(name = "org.freedesktop.network1.Link")]
impl Link {
    fn describe(&self) -> String {
        r#"{"Index":2,"Name":"bond0","Kind":"bond","OperationalState":"routable","CarrierState":"degraded-carrier"}"#
            .to_owned()
    }
}

struct Login {
    locks: Arc<Mutex<Vec<(String, UnixStream)>>>,
}

#[interface(name = "org.freedesktop.login1.Manager")]
impl Login {
    fn inhibit(&self, what: String, who: String, why: String, mode: String) -> OwnedFd {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let told = format!("{what} {mode} {who}: {why}");
        self.locks.lock().expect("no test panics here").push((told, ours));
        std::os::fd::OwnedFd::from(theirs).into()
    }

    /// As logind sends it before and after.
    #[zbus(signal)]
    async fn prepare_for_sleep(emitter: &SignalEmitter<'_>, start: bool) -> zbus::Result<()>;
}

/// The daemons' end.
struct Daemons {
    connection: Connection,
    started: Arc<Mutex<Vec<Started>>>,
    locks: Arc<Mutex<Vec<(String, UnixStream)>>>,
}

impl Daemons {
    async fn start() -> (Self, Systemd) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        ours.set_nonblocking(true).expect("a socket");
        let (started, locks): (Arc<Mutex<Vec<Started>>>, Arc<Mutex<Vec<_>>>) = Default::default();
        let guid = Guid::generate();
        let socket = tokio::net::UnixStream::from_std(ours).expect("a socket");
        let builder = zbus::connection::Builder::unix_stream(socket).server(guid).expect("a good id").p2p();
        let serving = builder
            .serve_at("/org/freedesktop/systemd1", Manager { started: started.clone() })
            .and_then(|builder| builder.serve_at("/org/freedesktop/systemd1/unit/exo", Service))
            .and_then(|builder| builder.serve_at("/org/freedesktop/network1", Network))
            .and_then(|builder| builder.serve_at("/org/freedesktop/network1/link/_31", Link))
            .and_then(|builder| builder.serve_at("/org/freedesktop/login1", Login { locks: locks.clone() }))
            .expect("good paths");
        let (connection, systemd) = tokio::join!(serving.build(), Systemd::at(theirs));
        let daemons = Self { connection: connection.expect("both ends are here"), started, locks };
        (daemons, systemd.expect("both ends are here"))
    }

    async fn sleep(&self, start: bool) {
        let emitter = SignalEmitter::new(&self.connection, "/org/freedesktop/login1").expect("a good path");
        Login::prepare_for_sleep(&emitter, start).await.expect("somebody is connected");
    }

    /// The locks that are held now.
    fn held(&self) -> Vec<String> {
        let locks = self.locks.lock().expect("no test panics here");
        let is_held = |socket: &UnixStream| {
            socket.set_nonblocking(true).expect("a socket");
            std::io::Read::read(&mut &*socket, &mut [0]).is_err()
        };
        locks.iter().filter(|(_, socket)| is_held(socket)).map(|(what, _)| what.clone()).collect()
    }
}

#[tokio::test]
async fn units_that_are_installed_tell_how_they_are() {
    let (_daemons, systemd) = Daemons::start().await;
    let units = systemd.units(&["exo-master.service", "exo-api.service"]).await.expect("answered");
    let [active, sub, status] = ["active", "running", "leads session 1"].map(str::to_owned);
    assert_eq!(units, [UnitState { name: "exo-master.service".to_owned(), active, sub, status, restarts: 3 }]);
}

#[tokio::test]
async fn a_bond_with_a_dead_leg_is_told() {
    let (_daemons, systemd) = Daemons::start().await;
    let [name, operational, carrier] = ["bond0", "routable", "degraded-carrier"].map(str::to_owned);
    let expect = LinkState { name, kind: Some("bond".to_owned()), operational, carrier };
    assert_eq!(systemd.links().await.expect("answered"), [expect]);
}

#[tokio::test]
async fn a_scope_gets_the_process_and_its_limits_and_a_refusal_is_told() {
    let (daemons, systemd) = Daemons::start().await;
    let limits = ScopeLimits { memory: Some(1 << 30), processors: Some(2) };
    systemd.start_scope("exo-runner-1.scope", "a runner", 42, limits).await.expect("started");
    let started = daemons.started.lock().expect("no test panics here").clone();
    let [(name, mode, properties)] = started.as_slice() else { panic!("{started:?}") };
    assert_eq!((name.as_str(), mode.as_str()), ("exo-runner-1.scope", "fail"));
    let value = |key: &str| properties.get(key).cloned().unwrap_or_default();
    assert!(value("PIDs").contains("42"), "{properties:?}");
    assert!(value("MemoryMax").contains("1073741824") && value("CPUQuotaPerSecUSec").contains("2000000"));
    let refused = systemd.start_scope("exo.service", "", 42, ScopeLimits::default()).await;
    assert!(refused.expect_err("refused").to_string().contains("only scopes"));
}

#[tokio::test]
async fn sleep_is_held_up_until_everything_is_said() {
    let (daemons, systemd) = Daemons::start().await;
    let mut watch = systemd.watch_sleep("leaves the cluster").await.expect("answered");
    let lock = ["sleep delay exo: leaves the cluster".to_owned()];
    assert_eq!(daemons.held(), lock);
    let (tell, mut told) = mpsc::channel(8);
    let (mut sleepy, wake) = (tokio::task::JoinSet::new(), tell);
    sleepy.spawn(async move {
        watch.falls_asleep().await;
        wake.send("falls asleep").await.expect("the test waits");
        watch.let_sleep();
        wake.send("sleeps").await.expect("the test waits");
        watch.wakes().await;
        wake.send("is awake").await.expect("the test waits");
        watch
    });
    let mut next = async || timeout(DEADLINE, told.recv()).await.expect("in time").expect("it goes on");
    daemons.sleep(true).await;
    assert_eq!((next().await, next().await), ("falls asleep", "sleeps"));
    assert!(daemons.held().is_empty());
    daemons.sleep(false).await;
    assert_eq!(next().await, "is awake");
    assert_eq!(daemons.held(), lock);
}

#[tokio::test]
async fn the_machine_stays_awake_while_the_lock_is_held() {
    let (daemons, systemd) = Daemons::start().await;
    let lock = systemd.keep_awake("answers").await.expect("answered");
    assert_eq!(daemons.held(), ["idle block exo: answers".to_owned()]);
    drop(lock);
    assert!(daemons.held().is_empty());
}

#[tokio::test]
async fn without_an_answer_nobody_waits_for_ever() {
    let (_silent, theirs) = UnixStream::pair().expect("a socket pair");
    tokio::time::pause();
    let error = Systemd::at(theirs).await.expect_err("nobody speaks");
    assert!(error.to_string().contains("no answer"), "{error}");
}
