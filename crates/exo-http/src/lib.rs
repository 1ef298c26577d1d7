//! Io. The HTTP server: listening, limits, server-sent events, errors in the shape of the API spoken.
