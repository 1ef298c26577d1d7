//! The other ranks as the engine sees them.

use super::{Frame, StepError};
use crate::progress::Progress;
use crate::step_bytes::{self, Step};
use exo_engine::{BatchPlan, NextStages, RanksError, TensorGroup, Work};
use exo_tensor_link::{Group, Link, LinkSender};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// The layers behind: steps go out to the next leader and come back from the last, in order.
pub(crate) struct RingStages {
    stages: usize,
    next: LinkSender,
    returns: Receiver<Frame>,
    deadline: Duration,
    progress: Progress,
}

impl RingStages {
    pub(super) fn new(
        stages: usize,
        next: LinkSender,
        returns: Receiver<Frame>,
        deadline: Duration,
        progress: Progress,
    ) -> Self {
        Self { stages, next, returns, deadline, progress }
    }
}

impl NextStages for RingStages {
    fn stages(&self) -> usize {
        self.stages
    }

    fn send(&mut self, plan: &BatchPlan, hidden: &[f32]) -> Result<(), RanksError> {
        let step = Step { work: Work::Layers, plan: plan.clone() };
        Ok(self.next.send(&step_bytes::write(&step), hidden, Instant::now() + self.deadline)?)
    }

    fn receive(&mut self, plan: &BatchPlan) -> Result<Vec<f32>, RanksError> {
        let (returns, limit) = (&self.returns, self.deadline);
        let came = self.progress.waiting(|| returns.recv_timeout(limit));
        let (echo, rows) = came.map_err(|error| match error {
            RecvTimeoutError::Timeout => StepError::Late(limit),
            RecvTimeoutError::Disconnected => StepError::Gone,
        })?;
        if echo.plan.step != plan.step {
            return Err(StepError::Mixed { step: plan.step, found: echo.plan.step }.into());
        }
        Ok(rows)
    }
}

/// The ranks that share this one's layers. Waiting for them is not computing: one that hangs takes nobody along.
pub(crate) struct RankGroup {
    /// The others, if this rank leads them.
    members: Vec<LinkSender>,
    group: Group<Link>,
    deadline: Duration,
    progress: Progress,
}

impl RankGroup {
    pub(super) fn new(members: Vec<LinkSender>, group: Group<Link>, deadline: Duration, progress: Progress) -> Self {
        Self { members, group, deadline, progress }
    }
}

impl TensorGroup for RankGroup {
    fn lead(&mut self, work: Work, plan: &BatchPlan, rows: &[f32]) -> Result<(), RanksError> {
        let step = step_bytes::write(&Step { work, plan: plan.clone() });
        let deadline = Instant::now() + self.deadline;
        for member in &mut self.members {
            member.send(&step, rows, deadline)?;
        }
        Ok(())
    }

    fn all_gather(&mut self, parts: &[usize], whole: &mut [f32]) -> Result<(), RanksError> {
        let (group, deadline) = (&mut self.group, Instant::now() + self.deadline);
        Ok(self.progress.waiting(|| group.all_gather(parts, whole, deadline))?)
    }

    fn gather(&mut self, parts: &[usize], whole: &mut [f32]) -> Result<(), RanksError> {
        let (group, deadline) = (&mut self.group, Instant::now() + self.deadline);
        Ok(self.progress.waiting(|| group.gather(0, parts, whole, deadline))?)
    }
}
