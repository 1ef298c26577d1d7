//! Reads server-sent events as they come in.

/// One line of an event stream that says something.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Data(String),
    Comment(String),
}

/// Longest line: an answer's piece is a few words.
const LONGEST: usize = 1 << 20;

/// Keeps what is not a whole line yet.
#[derive(Default)]
pub(crate) struct EventReader {
    rest: Vec<u8>,
}

impl EventReader {
    /// The lines that are whole now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Line>, &'static str> {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return if self.rest.len() > LONGEST { Err("a line is too long") } else { Ok(Vec::new()) };
        };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        let text = String::from_utf8(whole).map_err(|_| "it is not UTF-8")?;
        Ok(text.lines().filter_map(line).collect())
    }
}

fn line(text: &str) -> Option<Line> {
    let data = text.strip_prefix("data:").map(|data| Line::Data(data.trim_start().to_owned()));
    data.or_else(|| text.strip_prefix(':').map(|comment| Line::Comment(comment.trim_start().to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_wherever_the_network_cuts_them() {
        let stream = ": keep-alive\n\ndata: {\"ä\":1}\n\ndata: [DONE]\n\n".as_bytes();
        let expect = ["keep-alive", "{\"ä\":1}", "[DONE]"];
        for size in 1..stream.len() {
            let mut reader = EventReader::default();
            let lines = stream.chunks(size).flat_map(|chunk| reader.push(chunk).expect("good lines"));
            let texts: Vec<String> = lines.map(|(Line::Data(text) | Line::Comment(text))| text).collect();
            assert_eq!(texts, expect, "cut every {size} bytes");
        }
        assert!(EventReader::default().push(&[0xff, b'\n']).is_err());
        assert!(EventReader::default().push(&vec![b'x'; LONGEST + 1]).is_err());
    }
}
