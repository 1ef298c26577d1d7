//! A wire between two processes that can be cut as the loss of a machine cuts it: without a word.

use socket2::{SockFilter, SockRef};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Takes connections and passes them on.
pub struct Wire {
    port: u16,
    ends: Arc<Mutex<Vec<std::net::TcpStream>>>,
    passing: JoinSet<()>,
}

impl Wire {
    /// To that port of this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let own = listener.local_addr().expect("bound").port();
        let ends: Arc<Mutex<Vec<_>>> = Arc::default();
        let mut passing = JoinSet::new();
        passing.spawn(pass(listener, port, ends.clone()));
        Self { port: own, ends, passing }
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing that is sent into it is answered, not even by the kernel; nothing is closed.
    pub fn cut(&mut self) {
        // A filter that accepts no packet: "return 0".
        let nothing = [SockFilter::new(0x06, 0, 0, 0)];
        for end in self.ends.lock().expect("no test panics here").iter() {
            SockRef::from(end).attach_filter(&nothing).expect("every user may filter its own sockets");
        }
        self.passing.abort_all();
    }
}

async fn pass(listener: TcpListener, port: u16, ends: Arc<Mutex<Vec<std::net::TcpStream>>>) {
    let mut pairs = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let far = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("somebody listens");
        let (mut near, mut far) = (kept(near, &ends), kept(far, &ends));
        pairs.spawn(async move {
            let _ended = copy_bidirectional(&mut near, &mut far).await;
        });
    }
}

/// The same, open for as long as the wire.
fn kept(stream: TcpStream, ends: &Mutex<Vec<std::net::TcpStream>>) -> TcpStream {
    let stream = stream.into_std().expect("a stream");
    ends.lock().expect("no test panics here").push(stream.try_clone().expect("another descriptor"));
    TcpStream::from_std(stream).expect("a stream")
}
