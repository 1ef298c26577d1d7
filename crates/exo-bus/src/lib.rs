//! Io. Topics, requests, presence and streams between the processes of a cluster.
