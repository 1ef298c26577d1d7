//! Engine. The decoder family, its devices and the batch scheduler.
