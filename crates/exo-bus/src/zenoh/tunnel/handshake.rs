//! From a TCP stream to a link that both sides want.

use super::driver::Event;
use super::frame::{self, FrameError, Kind};
use super::hello::{Hello, Verdict, encode, read_hello, read_verdict};
use super::line::Established;
use super::meter::{Meter, Metered};
use super::{HANDSHAKE, PeerId, Shared, UNANSWERED};
use exo_identity::{Facts, HandshakeRefused, PeerRefused, peer_of, refusal_of, server_name};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::rustls::CommonState;
use tokio_rustls::{TlsConnector, TlsStream};

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoLink {
    #[error(transparent)]
    Refused(#[from] HandshakeRefused),
    #[error("the caller was silent for {HANDSHAKE:?}")]
    Silent,
    #[error("the peer sent what no node of exo sends: {0}")]
    Frame(FrameError),
    #[error("{0}")]
    Io(io::Error),
    /// Not wanted; nothing is wrong.
    #[error("there is a link already")]
    Doubled,
    #[error("process {} belongs to another node", super::process_of(.0))]
    Foreign(PeerId),
    #[error("this is the process itself")]
    Itself,
    /// The process ends.
    #[error("the bus is closed")]
    Closed,
}

impl NoLink {
    /// One word, for counters; none if nothing is wrong with the peer.
    pub fn word(&self) -> Option<&'static str> {
        match self {
            Self::Refused(refused) => Some(refused.word()),
            Self::Silent => Some("silent"),
            Self::Frame(_) => Some("garbage"),
            Self::Foreign(_) => Some("foreign_id"),
            Self::Io(_) | Self::Doubled | Self::Itself | Self::Closed => None,
        }
    }
}

impl From<io::Error> for NoLink {
    fn from(error: io::Error) -> Self {
        refusal_of(&error).map_or(Self::Io(error), Self::Refused)
    }
}

impl From<FrameError> for NoLink {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(error) => error.into(),
            other => Self::Frame(other),
        }
    }
}

impl From<PeerRefused> for NoLink {
    fn from(refused: PeerRefused) -> Self {
        Self::Refused(refused.into())
    }
}

/// A link that both sides want.
pub(super) struct Ready {
    pub stream: TlsStream<Metered>,
    pub peer: PeerId,
    pub established: Established,
}

/// The handshake of the side that calls.
pub(super) async fn call(
    shared: &Shared,
    stream: Metered,
    events: &mpsc::Sender<Event>,
    answered: &mut Option<PeerId>,
) -> Result<Ready, NoLink> {
    let tls = TlsConnector::from(shared.dials.clone()).connect(server_name(), stream).await?;
    let facts = facts_of(tls.get_ref().1)?;
    greet(shared, tls.into(), facts, events, answered).await
}

/// Who is there, by its certificate.
pub(super) fn facts_of(state: &CommonState) -> Result<Facts, NoLink> {
    Ok(peer_of(state.peer_certificates())?)
}

/// Both sides say who they are, and the one with the larger id decides.
pub(super) async fn greet(
    shared: &Shared,
    mut stream: TlsStream<Metered>,
    facts: Facts,
    events: &mpsc::Sender<Event>,
    answered: &mut Option<PeerId>,
) -> Result<Ready, NoLink> {
    frame::write(&mut stream, Kind::Hello, &encode(&shared.hello())).await?;
    let mut hello = read_hello(&frame::expect(&mut stream, Kind::Hello).await?)?;
    let peer = hello.place.id;
    *answered = Some(peer);
    if hello.node != facts.name.node_id {
        let (claimed, certified) = (hello.node.to_string(), facts.name.node_id.to_string());
        return Err(PeerRefused::OtherName { claimed, certified }.into());
    }
    see_from_here(&mut hello, stream.get_ref().0.tcp().peer_addr()?);
    let meter = stream.get_ref().0.meter();
    let established = if shared.own >= peer {
        let claimed = claim(events, &hello, &facts, &meter, true).await?;
        let verdict = claimed.as_ref().map_or_else(|verdict| *verdict, |_| Verdict::Accepted);
        frame::write(&mut stream, Kind::Verdict, &encode(&verdict)).await?;
        claimed.map_err(|verdict| unwanted(verdict, peer))?
    } else {
        match read_verdict(&frame::expect(&mut stream, Kind::Verdict).await?)? {
            Verdict::Accepted => {
                claim(events, &hello, &facts, &meter, false).await?.map_err(|verdict| unwanted(verdict, peer))?
            }
            other => return Err(unwanted(other, peer)),
        }
    };
    Ok(Ready { stream, peer, established })
}

fn unwanted(verdict: Verdict, peer: PeerId) -> NoLink {
    match verdict {
        Verdict::Accepted | Verdict::Doubled => NoLink::Doubled,
        Verdict::Itself => NoLink::Itself,
        Verdict::Foreign => NoLink::Foreign(peer),
    }
}

/// Asks the driver for a place among the links.
async fn claim(
    events: &mpsc::Sender<Event>,
    hello: &Hello,
    facts: &Facts,
    meter: &Arc<Meter>,
    decides: bool,
) -> Result<Result<Established, Verdict>, NoLink> {
    let (answer, answered) = oneshot::channel();
    let (hello, facts, meter) = (Box::new(hello.clone()), Box::new(facts.clone()), meter.clone());
    let claim = Event::Claim { hello, facts, meter, decides, answer };
    events.send(claim).await.map_err(|_| NoLink::Closed)?;
    answered.await.map_err(|_| NoLink::Closed)
}

/// The address that the peer has from here is as good as any that it knows of itself.
fn see_from_here(hello: &mut Hello, from: SocketAddr) {
    let from = from.ip().to_canonical();
    let ports: Vec<u16> = hello.place.addresses.iter().map(SocketAddr::port).collect();
    if let Some(port) = ports.first().filter(|port| ports.iter().all(|other| other == *port)) {
        let seen = SocketAddr::new(from, *port);
        hello.place.addresses.retain(|address| *address != seen);
        hello.place.addresses.insert(0, seen);
        hello.place.addresses.truncate(super::hello::ADDRESSES);
    }
}

/// No answer within the deadline is an answer.
pub(super) async fn within<T>(handshake: impl Future<Output = Result<T, NoLink>>) -> Result<T, NoLink> {
    tokio::time::timeout(HANDSHAKE, handshake).await.unwrap_or(Err(NoLink::Silent))
}

/// Settings of a TCP stream that carries a link.
pub(super) fn settle(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(UNANSWERED))
}
