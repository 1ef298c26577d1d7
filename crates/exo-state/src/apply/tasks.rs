//! Events about what commands set going.

use super::{Effect, Skip, set, unknown};
use crate::State;
use exo_types::{InstanceId, Task, TaskId, TaskStatus};
use std::collections::btree_map::Entry;

pub(super) fn created(state: &mut State, task: &Task) -> Effect {
    if !task.task_status.is_final() && !state.instances.contains_key(&task.instance_id) {
        return Err(unknown("instance", &task.instance_id));
    }
    match state.tasks.entry(task.task_id.clone()) {
        Entry::Occupied(_) => Err(Skip::Invalid { why: format!("task {} exists", task.task_id) }),
        Entry::Vacant(place) => {
            place.insert(task.clone());
            Ok(())
        }
    }
}

pub(super) fn status_updated(state: &mut State, id: &TaskId, status: TaskStatus) -> Effect {
    let task = open_task(state, id)?;
    set(&mut task.task_status, status)
}

pub(super) fn failed(state: &mut State, id: &TaskId, error_message: &str) -> Effect {
    let task = open_task(state, id)?;
    task.task_status = TaskStatus::Failed;
    task.error_message = Some(error_message.to_owned());
    Ok(())
}

pub(super) fn deleted(state: &mut State, id: &TaskId) -> Effect {
    state.tasks.remove(id).map(|_| ()).ok_or_else(|| unknown("task", id))
}

/// Open tasks of an instance that goes away end with it.
pub(super) fn cancel_open(state: &mut State, instance: &InstanceId) {
    let open = state.tasks.values_mut().filter(|task| task.instance_id == *instance && !task.task_status.is_final());
    open.for_each(|task| task.task_status = TaskStatus::Cancelled);
}

/// The task, unless it ended: an end is an end.
fn open_task<'a>(state: &'a mut State, id: &TaskId) -> Result<&'a mut Task, Skip> {
    let task = state.tasks.get_mut(id).ok_or_else(|| unknown("task", id))?;
    if task.task_status.is_final() {
        return Err(Skip::Invalid { why: format!("task {id} ended before") });
    }
    Ok(task)
}
