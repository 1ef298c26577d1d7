//! Writers that write one thing after the other, and their clock.

use anyhow::{Context, Result};
use futures::future::try_join_all;
use serde::Serialize;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A write that takes longer did not happen.
const DEADLINE: Duration = Duration::from_secs(20);

/// Something that writes events durably.
pub trait Writer: Send + 'static {
    /// Returns when they are acknowledged.
    fn write(&mut self, events: usize) -> impl Future<Output = Result<()>> + Send;
}

/// Times in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p99: f64,
    pub worst: f64,
}

impl Quantiles {
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: f64| {
            let place = (times.len() as f64 * share) as usize;
            times.get(place.min(times.len().saturating_sub(1))).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
        };
        Self { p50: at(0.5), p99: at(0.99), worst: at(1.0) }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    pub events_per_second: f64,
    /// Of one write.
    pub latency: Quantiles,
}

/// Lets so many writers write so many events at a time, for that long after as short a warm-up.
pub async fn run<W: Writer, F: Future<Output = Result<W>>>(
    count: usize,
    events: usize,
    window: Duration,
    connect: impl Fn(usize) -> F,
) -> Result<Load> {
    let writers = try_join_all((0..count).map(&connect)).await?;
    let begin = Instant::now() + window / 5;
    let end = begin + window;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in writers {
        tasks.spawn(write_until(writer, events, begin, end));
    }
    let mut times = Vec::new();
    while let Some(result) = tasks.join_next().await {
        times.extend(result??);
    }
    let events_per_second = (times.len() * events) as f64 / window.as_secs_f64();
    Ok(Load { events_per_second, latency: Quantiles::of(times) })
}

async fn write_until(mut writer: impl Writer, events: usize, begin: Instant, end: Instant) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok(times);
        }
        timeout(DEADLINE, writer.write(events)).await.context("a write was not acknowledged in time")??;
        if start >= begin {
            times.push(start.elapsed());
        }
    }
}

/// Writes over a connection: a byte there, a byte back.
pub struct Client(TcpStream);

impl Client {
    pub async fn connect(door: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(door).await?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }
}

impl Writer for Client {
    async fn write(&mut self, _events: usize) -> Result<()> {
        self.0.write_all(&[1]).await?;
        let answer = self.0.read_u8().await?;
        anyhow::ensure!(answer == 1, "a write was refused");
        Ok(())
    }
}
