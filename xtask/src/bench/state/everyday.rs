//! What happens in it every day.

use super::NODES;
use super::population::{card, instance, intent, node, way};
use anyhow::Result;
use exo_types::{
    CommandId, DownloadProgress, Event, InstanceId, IntentId, Memory, NodeDownload, NodeId, NodeResources, RunnerId,
    RunnerStatus, Task, TaskId, TaskStatus,
};

/// Events that are timed together, so that the clock does not count.
const CHUNK: usize = 1000;

/// A thousand events as they come: mostly what nodes have left, then runners, ways, models, instances and tasks.
pub(super) fn thousand(round: &mut usize) -> Result<Vec<(Option<NodeId>, Event)>> {
    let mut events = Vec::with_capacity(CHUNK);
    while events.len() < CHUNK {
        *round += 1;
        let at = *round % NODES;
        let origin = Some(node(at)?);
        let event = match *round % 10 {
            0..=4 => {
                let ram_available = Memory::mib((*round % 60_000) as u64);
                let resources = NodeResources { ram_total: Memory::mib(65_536), ram_available };
                Event::NodeResourcesChanged { node_id: node(at)?, resources }
            }
            5 | 6 => {
                let runner_id = RunnerId::new(format!("instance-{}-runner-{}", at / 2, at % 2))?;
                let runner_status = RunnerStatus::RunnerReady { incarnation: *round as u64 };
                Event::RunnerStatusUpdated { runner_id, runner_status }
            }
            7 => {
                let connection = way(at, (at + 1) % NODES)?;
                events.push((origin.clone(), Event::TopologyEdgeDeleted { connection: connection.clone() }));
                Event::TopologyEdgeCreated { connection }
            }
            8 => {
                let downloaded = Memory::mib((*round % 4200) as u64);
                let progress = DownloadProgress::DownloadOngoing { total: Memory::mib(4200), downloaded };
                let download = NodeDownload { node_id: node(at)?, model_card: card()?, progress };
                Event::NodeDownloadProgress { download }
            }
            _ => {
                events.extend(life_of_an_instance(*round, at)?);
                continue;
            }
        };
        events.push((origin, event));
    }
    Ok(events)
}

fn life_of_an_instance(round: usize, at: usize) -> Result<Vec<(Option<NodeId>, Event)>> {
    let name = format!("passing-{round}");
    let (instance_id, task_id) = (InstanceId::new(name.as_str())?, TaskId::new(name.as_str())?);
    let task_status = TaskStatus::Pending;
    let task = Task { task_id: task_id.clone(), instance_id: instance_id.clone(), task_status, error_message: None };
    let intent_id = IntentId::new(name.as_str())?;
    let accepted = |command: String| -> Result<Event> {
        let (task_id, instance_id) = (Some(task_id.clone()), Some(instance_id.clone()));
        Ok(Event::CommandAccepted { command_id: CommandId::new(command)?, task_id, instance_id })
    };
    // Ids of commands are as long as these.
    let (placed, deleted) = (accepted(format!("{round:031x}0"))?, accepted(format!("{round:031x}1"))?);
    let events = [
        Event::IntentRecorded { intent: intent(&name)? },
        Event::InstanceCreated { instance: instance(&name, at / 2)? },
        Event::TaskCreated { task },
        placed,
        Event::TaskStatusUpdated { task_id: task_id.clone(), task_status: TaskStatus::Complete },
        Event::IntentWithdrawn { intent_id },
        Event::InstanceDeleted { instance_id },
        deleted,
        Event::TaskDeleted { task_id },
    ];
    Ok(events.into_iter().map(|event| (None, event)).collect())
}
