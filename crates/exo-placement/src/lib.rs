//! Pure. Decides which nodes hold which layers, or which shares of all layers, of a model.
//! Knows nothing of processes, buses or clocks; the State comes in, a solution or the numbers against it go out.
//!
//! [`Problem::from_state`] → [`solve`] → [`Solution`] (or [`Infeasible`], with what is needed and what there is) →
//! [`Solution::into_instance`]. [`previews`] solves for every number of nodes.

mod conditions;
mod infeasible;
mod memory;
mod problem;
mod solution;
mod solve;
mod split;

pub use conditions::{Broken, check_problem, check_solution};
pub use infeasible::Infeasible;
pub use memory::{RUNNER_RESERVE, rank_memory, shard_memory};
pub use problem::{Defaults, NodeFacts, Problem};
pub use solution::{RankPlan, Solution};
pub use solve::{Preview, previews, solve};
