//! A cluster of real processes that something is done to: nodes with a master, a worker and an API each.
//!
//! A [`Site`] is where they run: a network namespace for each node, so that links can be cut, or loopback. A [`Node`]
//! has a folder, a configuration and processes. An [`Api`] is how users see it. Nothing here outlives its owner: not on
//! an error, not on a panic, and not when this program is killed.

mod api;
mod machine;
mod node;
mod process;
mod programs;
mod site;

pub use api::{Answer, Api, Change, ChatAsk, Told};
pub use node::{Node, Part, name_of};
pub use programs::Programs;
pub use site::{Direction, Sent, Site};

use anyhow::{Context, Result, bail};
use node::{NodeSettings, Ports};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Within which the APIs of these clusters end every request, unless a shape says otherwise.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(20);

/// A process that has not ended by then after SIGTERM hangs: longer than a service may drain.
const STOP: Duration = Duration::from_secs(30);

/// Between two tries of what is not there yet.
const LOOK: Duration = Duration::from_millis(100);

/// Lines of a log that tell why something went wrong.
const LAST_WORDS: usize = 12;

/// Nodes at a site.
pub struct Cluster {
    site: Site,
    programs: Programs,
    nodes: Vec<Node>,
    key: Option<String>,
    /// Whether the nodes belong to one cluster already.
    is_joined: bool,
}

/// Which processes each node has, and how they are configured.
pub struct Shape {
    /// By node.
    pub parts: Vec<Vec<Part>>,
    /// Within which the APIs end every request.
    pub deadline: Duration,
}

impl Shape {
    /// With the deadline that these clusters usually have.
    pub fn new(parts: Vec<Vec<Part>>) -> Self {
        Self { parts, deadline: REQUEST_DEADLINE }
    }
}

fn has_service(parts: &[Part], service: Part) -> bool {
    parts.iter().any(|part| part.has(service))
}

impl Cluster {
    /// Writes the configurations of nodes below `folder`. Nothing runs yet.
    pub fn new(site: Site, programs: Programs, folder: &Path, models: &Path, shape: Shape) -> Result<Self> {
        let key = site.has_networks().then(|| format!("chaos-{}", std::process::id()));
        let key_file = match &key {
            Some(key) => {
                let file = folder.join("keys");
                fs::write(&file, key).with_context(|| file.display().to_string())?;
                Some(file)
            }
            None => None,
        };
        let places = Ports::at(&site)?.into_iter().enumerate().map(|(number, ports)| (site.address(number), ports));
        let has_master = |(number, parts): (usize, &Vec<Part>)| has_service(parts, Part::Master).then_some(number);
        let settings = NodeSettings {
            folder: folder.to_path_buf(),
            models: models.to_path_buf(),
            namespace: format!("cluster-{}", std::process::id()),
            places: places.collect(),
            masters: shape.parts.iter().enumerate().filter_map(has_master).collect::<BTreeSet<_>>(),
            key_file,
            deadline: shape.deadline,
        };
        let parts = shape.parts.into_iter().enumerate();
        let nodes = parts.map(|(number, parts)| Node::new(&settings, number, parts)).collect::<Result<_>>()?;
        Ok(Self { site, programs, nodes, key, is_joined: false })
    }

    /// How many nodes.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// A node.
    pub fn node(&mut self, number: usize) -> &mut Node {
        &mut self.nodes[number]
    }

    /// Where it runs.
    pub fn site(&mut self) -> &mut Site {
        &mut self.site
    }

    /// The APIs that there are, by node.
    pub fn apis(&self) -> Result<Vec<Api>> {
        let with_api = self.nodes.iter().filter(|node| has_service(node.parts(), Part::Api));
        with_api.map(|node| Api::new(node.api_url(), self.key.clone())).collect()
    }

    /// Starts a process of a node, unless it runs.
    pub fn start(&mut self, number: usize, part: Part) -> Result<()> {
        self.nodes[number].start(&self.site, &self.programs, part)
    }

    /// Starts whatever does not run, and lets go on whatever is paused. The first time the first node, which has a
    /// master, lets the others in before anything starts there.
    pub fn start_all(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.is_joined, true) {
            let first = self.nodes[0].parts().iter().copied().find(|part| part.has(Part::Master));
            self.start(0, first.context("the first node has a master")?)?;
            self.join_all().context("the nodes do not come together")?;
        }
        for number in 0..self.nodes.len() {
            for part in self.nodes[number].parts().to_vec() {
                if let Some(process) = self.nodes[number].process(part).filter(|process| process.is_paused()) {
                    process.resume()?;
                }
                self.start(number, part)?;
            }
        }
        Ok(())
    }

    fn join_all(&self) -> Result<()> {
        let Some((first, others)) = self.nodes.split_first() else { return Ok(()) };
        if others.is_empty() {
            return Ok(());
        }
        let begin = Instant::now();
        let said = loop {
            // Its master founds the cluster, and leads it a moment later.
            match first.run(&self.site, &self.programs, &["cluster", "token", "--reusable"]) {
                Ok(said) => break said,
                Err(error) if begin.elapsed() > REQUEST_DEADLINE => return Err(error),
                Err(_) => sleep(LOOK),
            }
        };
        let token = said.lines().rev().find(|line| line.starts_with("exo1-")).context("no token was printed")?;
        for node in others {
            node.run(&self.site, &self.programs, &["cluster", "join", token])?;
        }
        Ok(())
    }

    /// Runs `exo` on a node with its configuration, and gives what it says.
    pub fn exo(&self, number: usize, arguments: &[&str]) -> Result<String> {
        self.nodes[number].run(&self.site, &self.programs, arguments)
    }

    /// The end of what every process said.
    pub fn last_words(&mut self) -> String {
        let mut text = String::new();
        for node in &mut self.nodes {
            for part in node.parts().to_vec() {
                let name = node.name();
                let Some(process) = node.process(part) else { continue };
                text += &format!("--- {name} {part}\n{}\n", process.last_words(LAST_WORDS));
            }
        }
        text
    }

    /// Asks everything to end; an error names what does not, or not well.
    pub fn stop(&mut self) -> Result<()> {
        let mut complaints = Vec::new();
        // Apis first, masters last: nobody waits for one that is gone.
        for part in [Part::Up].into_iter().chain(Part::SERVICES.into_iter().rev()) {
            for node in &mut self.nodes {
                let name = node.name();
                let Some(process) = node.process(part) else { continue };
                match process.stop(STOP)? {
                    Some(status) if status.success() => {}
                    Some(status) => complaints.push(format!("{name} {part} ended with {status}")),
                    None => complaints.push(format!("{name} {part} did not end within {STOP:?} of SIGTERM")),
                }
            }
        }
        if complaints.is_empty() { Ok(()) } else { bail!("{}", complaints.join("; ")) }
    }
}
