//! Commands of a client on the whole way that they take in use: over the bus, with mutual TLS, to `exo-master`.

use super::writers::Writer;
use crate::cluster::{Cluster, Part, Programs, Shape, Site};
use crate::places::Places;
use anyhow::{Context, Result, bail};
use exo_bus::topics;
use exo_node::CommandClient;
use exo_service::{CommonArgs, Visit};
use exo_types::{Command, CommandReply, JoinTokenId, JoinTokenRecord, Millis, RequestStanding};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::block_in_place;
use tokio::time::sleep;

/// Nothing of the set-up takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at what is not there yet.
const LOOK: Duration = Duration::from_millis(100);

/// A command that takes longer is not answered.
const DEADLINE: Duration = Duration::from_secs(15);

/// Nodes with a master each, in processes of their own, and one more node whose client is this process.
pub struct Masters {
    cluster: Cluster,
    visit: Visit,
    clients: AtomicU64,
    _folder: TempDir,
}

impl Masters {
    /// So many; their files lie beside the build, on its disk.
    pub async fn start(places: &Places, count: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("exo-commands-").tempdir_in(&places.target)?;
        let mut cluster = block_in_place(|| started(places, &folder, count))?;
        let config = Some(cluster.node(count).configuration().to_path_buf());
        let visit = Visit::begin(&CommonArgs { config, ..CommonArgs::default() }).await?;
        let masters = Self { cluster, visit, clients: AtomicU64::new(0), _folder: folder };
        masters.wait_for_voters(count).await?;
        Ok(masters)
    }

    async fn wait_for_voters(&self, count: usize) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let leader = self.visit.view().await?.leader.context("nobody leads")?;
            let standing = self.visit.bus.request(topics::STANDING, &leader, &RequestStanding {}, DEADLINE).await?;
            if standing.voters.len() == count && standing.lag.values().all(|entries| *entries == 0) {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        bail!("the masters do not all vote within {PATIENCE:?}")
    }

    /// All clients send over one link, as the users of one api do.
    pub async fn client(&self) -> Result<Client> {
        let number = self.clients.fetch_add(1, Ordering::Relaxed);
        let id = JoinTokenId::new(format!("bench-{number}"))?;
        let (public_key, created) = (format!("{number:064x}"), Millis(1));
        let token = JoinTokenRecord { id, public_key, created, expires: None, reusable: false };
        Ok(Client { commands: self.visit.node.commands(), token, is_made: false })
    }

    pub async fn stop(mut self) -> Result<()> {
        self.visit.end().await;
        block_in_place(|| self.cluster.stop())
    }
}

fn started(places: &Places, folder: &TempDir, count: usize) -> Result<Cluster> {
    let programs = Programs::build(places)?;
    let models = folder.path().join("models");
    std::fs::create_dir_all(&models)?;
    let mut parts = vec![vec![Part::Master]; count];
    parts.push(Vec::new());
    let mut cluster = Cluster::new(Site::loopback(count + 1)?, programs, folder.path(), &models, Shape::new(parts))?;
    cluster.start_all()?;
    Ok(cluster)
}

/// Makes a join token and takes it back, again and again: each command is news, and needs no hardware.
pub struct Client {
    commands: CommandClient,
    token: JoinTokenRecord,
    is_made: bool,
}

impl Writer for Client {
    async fn write(&mut self, _events: usize) -> Result<()> {
        let command = match self.is_made {
            true => Command::DeleteJoinToken { id: self.token.id.clone() },
            false => Command::CreateJoinToken { token: self.token.clone() },
        };
        match self.commands.send(command, DEADLINE).await? {
            CommandReply::Accepted { .. } => self.is_made = !self.is_made,
            CommandReply::Refused(refusal) => bail!("a command was refused: {}", refusal.message),
        }
        Ok(())
    }
}
