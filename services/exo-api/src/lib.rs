//! Service. The API: the HTTP edge of the cluster.
