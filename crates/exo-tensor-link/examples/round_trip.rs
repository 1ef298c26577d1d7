//! Prints the round trip of small and large frames over loopback, and what an idle link costs.
//!
//! `cargo run --release -p exo-tensor-link --example round_trip`

use exo_identity::Identity;
use exo_tensor_link::{Handshake, Link, LinkError, Listener, Precision};
use std::time::{Duration, Instant, SystemTime};

const ROUNDS: usize = 20_000;

fn handshake(rank: u32, peer: u32) -> Handshake {
    Handshake {
        instance: "bench".to_owned(),
        incarnation: 1,
        rank,
        peer,
        world: 2,
        channel: 0,
        max_metadata: 256,
        max_values: 1 << 16,
        precision: Precision::F32,
    }
}

fn echo(mut link: Link, deadline: Instant) -> Result<(), LinkError> {
    let (mut metadata, mut values) = (Vec::new(), Vec::new());
    loop {
        match link.recv_into(&mut metadata, &mut values, deadline) {
            Ok(_) => link.send(&metadata, &values, deadline)?,
            Err(LinkError::Closed) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let deadline = Instant::now() + Duration::from_secs(120);
    let identity = Identity::found(exo_types::NodeId::new("bench")?, "bench", SystemTime::now())?;
    let own = identity.clone();
    let listener = Listener::bind(([127, 0, 0, 1], 0).into())?;
    let address = listener.address();
    let other = std::thread::spawn(move || echo(listener.accept(&own, &handshake(1, 0), deadline)?, deadline));
    let mut link = Link::connect(address, &identity, &handshake(0, 1), deadline)?;
    println!("{:>10} {:>12} {:>12} {:>12}", "bytes", "median µs", "p99 µs", "MiB/s");
    for bytes in [64, 16 << 10, 256 << 10] {
        let mut times = round_trips(&mut link, bytes, deadline)?;
        times.sort();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let (median, p99) = (times[ROUNDS / 2], times[ROUNDS * 99 / 100]);
        let rate = 2.0 * bytes as f64 / median.as_secs_f64() / f64::from(1 << 20);
        println!("{bytes:>10} {:>12.1} {:>12.1} {rate:>12.0}", micros(median), micros(p99));
    }
    drop(link);
    other.join().expect("the echo does not panic")?;
    Ok(())
}

fn round_trips(link: &mut Link, bytes: usize, deadline: Instant) -> Result<Vec<Duration>, LinkError> {
    let values = vec![1.0; bytes / 4];
    let (mut metadata, mut back) = (Vec::new(), Vec::new());
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        link.send(b"step", &values, deadline)?;
        link.recv_into(&mut metadata, &mut back, deadline)?;
        times.push(start.elapsed());
    }
    Ok(times)
}
