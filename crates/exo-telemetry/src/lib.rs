//! Io. Logs and the service manager: journal or standard error, readiness, watchdog.
