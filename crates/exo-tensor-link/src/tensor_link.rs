//! What any kind of link does.

use crate::closer::Closer;
use crate::error::LinkError;
use std::os::fd::BorrowedFd;
use std::time::Instant;

/// A link between two ranks. The buffers that leave and arrive belong to the link, so that one over RDMA can register
/// them once; callers give and get values, never wire bytes.
pub trait TensorLink: Send {
    /// Sends one frame, whole. After an error the link is over, for part of the frame may have left.
    fn send(&mut self, metadata: &[u8], values: &[f32], deadline: Instant) -> Result<(), LinkError>;

    /// Takes one frame into the link's own buffer and sends as much of it as the network takes now; [`Self::advance`]
    /// sends the rest. Does not wait, so that ranks which send to each other at the same time never wait for each other.
    fn post(&mut self, metadata: &[u8], values: &[f32]) -> Result<(), LinkError>;

    /// Sends of what was posted as much as the network takes now; true when all of it has left.
    fn advance(&mut self) -> Result<bool, LinkError>;

    /// What to sleep on while nothing arrives and nothing leaves.
    fn readiness(&self) -> BorrowedFd<'_>;

    /// Most values in a frame, as both sides agreed.
    fn max_values(&self) -> usize;

    /// Receives the next frame into the vectors, in place of what they hold, and returns its number, from 0. After
    /// [`LinkError::Timeout`] the next call goes on; after any other error the link is over.
    fn recv_into(&mut self, metadata: &mut Vec<u8>, values: &mut Vec<f32>, deadline: Instant)
    -> Result<u64, LinkError>;

    /// Ends the calls of this link from another thread.
    fn closer(&self) -> Closer;
}
