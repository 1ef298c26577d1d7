//! What a child prints, line by line, into the host's log.

use std::collections::VecDeque;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest line in bytes; what is longer is cut.
const LINE_LIMIT: usize = 4096;

/// Lines kept for the report of the child's end.
const KEPT: usize = 20;

/// The last lines of a child.
#[derive(Debug, Default)]
pub(crate) struct LastWords(VecDeque<String>);

impl LastWords {
    pub(crate) fn push(&mut self, line: &str) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(line.to_owned());
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.0.into()
    }
}

/// Cuts bytes into lines of bounded length.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    line: Vec<u8>,
}

impl Cutter {
    pub(crate) fn feed(&mut self, bytes: &[u8], mut on_line: impl FnMut(&str)) {
        for &byte in bytes {
            if byte == b'\n' {
                self.finish(&mut on_line);
            } else if self.line.len() < LINE_LIMIT {
                self.line.push(byte);
            }
        }
    }

    pub(crate) fn finish(&mut self, mut on_line: impl FnMut(&str)) {
        if !self.line.is_empty() {
            on_line(String::from_utf8_lossy(&self.line).trim_end());
            self.line.clear();
        }
    }
}

/// Reads to the end. Errors end it: the pipe is gone.
pub(crate) async fn read_lines(mut from: impl AsyncRead + Unpin, mut on_line: impl FnMut(&str)) {
    let mut cutter = Cutter::default();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        cutter.feed(&buffer[..count], &mut on_line);
    }
    cutter.finish(&mut on_line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_bounded_and_none_is_lost() {
        let check = async |input: &[u8], expect: &[&str]| {
            let mut lines = Vec::new();
            read_lines(input, |line| lines.push(line.to_owned())).await;
            assert_eq!(lines, expect);
        };
        check(b"", &[]).await;
        check(b"one\ntwo", &["one", "two"]).await;
        check(b"\n\nx \r\n", &["x"]).await;
        check(b"\xff\n", &["\u{fffd}"]).await;
        let long = "y".repeat(LINE_LIMIT + 9);
        check(format!("{long}\nz\n").as_bytes(), &[&long[..LINE_LIMIT], "z"]).await;
    }

    #[test]
    fn only_the_last_words_are_kept() {
        let mut words = LastWords::default();
        (0..KEPT + 2).for_each(|n| words.push(&n.to_string()));
        let lines = words.into_lines();
        assert_eq!((lines.len(), lines[0].as_str()), (KEPT, "2"));
    }
}
