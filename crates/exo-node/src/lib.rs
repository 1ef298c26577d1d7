//! Glue. Joins the bus, follows the log, keeps the State.
