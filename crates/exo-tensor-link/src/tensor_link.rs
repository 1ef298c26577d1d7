//! What any kind of link does.

use crate::closer::Closer;
use crate::error::LinkError;
use std::time::Instant;

/// A link between two ranks. The buffers that leave and arrive belong to the link, so that one over RDMA can register
/// them once; callers give and get values, never wire bytes.
pub trait TensorLink: Send {
    /// Sends one frame, whole. After an error the link is over, for part of the frame may have left.
    fn send(&mut self, metadata: &[u8], values: &[f32], deadline: Instant) -> Result<(), LinkError>;

    /// Receives the next frame into the vectors, in place of what they hold, and returns its number, from 0. After
    /// [`LinkError::Timeout`] the next call goes on; after any other error the link is over.
    fn recv_into(&mut self, metadata: &mut Vec<u8>, values: &mut Vec<f32>, deadline: Instant)
    -> Result<u64, LinkError>;

    /// Ends the calls of this link from another thread.
    fn closer(&self) -> Closer;
}
