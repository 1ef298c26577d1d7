//! Takes callers in: those with a certificate to the bus, those with a token to the desk.

use super::Shared;
use super::driver::Event;
use super::frame;
use super::handshake::{NoLink, Ready, facts_of, greet, settle, within};
use super::meter::Metered;
use exo_identity::{
    ADMISSION_LIMIT, AdmissionRefused, AdmissionReply, BUS, HandshakeRefused, JOIN, NoAnswer, RefusalKind,
};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

/// What a caller without a certificate has to write and read.
const REPLY: Duration = Duration::from_secs(3);

/// The link; none for a visitor of the desk.
pub(super) async fn accept(
    shared: &Shared,
    stream: TcpStream,
    events: &mpsc::Sender<Event>,
) -> Result<Option<Ready>, NoLink> {
    let start = within(async {
        settle(&stream)?;
        let stream = Metered::new(stream, shared.traffic.clone());
        Ok(LazyConfigAcceptor::new(Acceptor::default(), stream).await?)
    });
    let start = start.await?;
    let asks_for = |protocol: &[u8]| {
        start.client_hello().alpn().is_some_and(|mut protocols| protocols.any(|asked| asked == protocol))
    };
    if asks_for(BUS) {
        let linked = within(async {
            let tls = start.into_stream(shared.accepts.clone()).await?;
            let facts = facts_of(tls.get_ref().1)?;
            greet(shared, tls.into(), facts, events, &mut None).await
        });
        return linked.await.map(Some);
    }
    if asks_for(JOIN) {
        visit(shared, start).await?;
        return Ok(None);
    }
    // The alert says so to the peer.
    let refused = within(async { Ok(start.into_stream(shared.accepts.clone()).await?) }).await;
    refused.and(Err(HandshakeRefused::Protocol("it asks for another protocol".to_owned()).into()))
}

/// One question, one answer.
async fn visit(shared: &Shared, start: StartHandshake<Metered>) -> Result<(), NoLink> {
    let (mut tls, request) = within(async {
        let mut tls = start.into_stream(shared.admits.clone()).await?;
        let request = read_request(&mut tls).await?;
        Ok((tls, request))
    })
    .await?;
    let reply = match shared.identity.desk().ask(request).await {
        Ok(reply) => reply,
        Err(reason) => refusal(reason),
    };
    if let Ok(AdmissionReply::Refused(refused)) = AdmissionReply::decode(&reply) {
        let from = tls.get_ref().0.tcp().peer_addr()?;
        shared.refuse(refused.kind.counter(), from, &refused);
    }
    let told = tokio::time::timeout(REPLY, async {
        let length = u32::try_from(reply.len()).map_err(io::Error::other)?.to_le_bytes();
        tls.write_all(&[&length, reply.as_slice()].concat()).await?;
        tls.flush().await?;
        tls.shutdown().await
    });
    Ok(told.await.map_err(|_| NoLink::Silent)??)
}

async fn read_request(tls: &mut TlsStream<Metered>) -> Result<Vec<u8>, NoLink> {
    let mut length = [0; 4];
    tls.read_exact(&mut length).await?;
    let length = u32::from_le_bytes(length) as usize;
    if length > ADMISSION_LIMIT {
        return Err(frame::FrameError::Length(length).into());
    }
    Ok(frame::body(tls, length).await?)
}

fn refusal(reason: NoAnswer) -> Vec<u8> {
    let (kind, message) = match reason {
        NoAnswer::Unmanned => (RefusalKind::NotAMaster, "this process has no master; ask one that has"),
        NoAnswer::Busy => (RefusalKind::Later, "the cluster has no leader now, or too much to do; ask again"),
    };
    let reply = AdmissionReply::Refused(AdmissionRefused::new(kind, message));
    reply.encode().expect("a refusal is two texts")
}
