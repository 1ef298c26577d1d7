//! The machine's clock, as the kernel judges it.

/// What the kernel knows of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockState {
    /// Something keeps it right: NTP, PTP, a radio.
    Synchronised,
    /// Nothing does.
    Unsynchronised,
    /// This process may not ask.
    Unknown,
}

/// Asks the kernel; nothing is changed.
#[expect(unsafe_code, reason = "no library of ours wraps adjtimex")]
pub fn clock_state() -> ClockState {
    // SAFETY: a timex of zeros is a valid one: it is numbers only.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: it is ours alone and large enough; `modes` is 0, so that the call only reads.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    match state {
        -1 => ClockState::Unknown,
        libc::TIME_ERROR => ClockState::Unsynchronised,
        _ if timex.status & libc::STA_UNSYNC != 0 => ClockState::Unsynchronised,
        _ => ClockState::Synchronised,
    }
}
