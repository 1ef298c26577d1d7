//! Where things are, as keys of the transport.

use crate::names::ProcessId;
use exo_types::NodeId;

/// One declared key per process: its life.
pub(crate) const PROCESSES: &str = "process";

/// Who reads what is put on a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Whoever likes to.
    Everybody,
    /// One node, whichever of its processes serves there.
    Node(NodeId),
    /// One process.
    Process(ProcessId),
}

/// A node id as one segment. `%` stands in no id, so that this can be undone.
pub(crate) fn segment(node: &NodeId) -> String {
    node.as_str().replace('/', "%2F")
}

/// Undoes [`segment`].
pub(crate) fn node_of(segment: &str) -> Option<NodeId> {
    NodeId::new(segment.replace("%2F", "/")).ok()
}

pub(crate) fn topic(name: &str) -> String {
    format!("topic/{name}")
}

pub(crate) fn service(name: &str, node: &NodeId) -> String {
    format!("service/{name}/{}", segment(node))
}

pub(crate) fn stream(name: &str, node: &NodeId) -> String {
    format!("stream/{name}/{}", segment(node))
}

pub(crate) fn presence(kind: &str) -> String {
    format!("presence/{kind}")
}

/// Whose presence a key tells; none if it is the key of something else.
pub(crate) fn node_of_presence(key: &str) -> Option<NodeId> {
    let mut segments = key.split('/');
    if segments.next()? != "presence" {
        return None;
    }
    node_of(segments.nth(1)?)
}

/// Who reads what is put on a key that one of these functions made.
pub(crate) fn reader_of(key: &str) -> Reader {
    let reader = key.split_once('/').and_then(|(kind, rest)| match kind {
        "service" | "stream" => rest.split_once('/').and_then(|(_, node)| node_of(node)).map(Reader::Node),
        "inbox" => rest.parse().ok().map(Reader::Process),
        _ => None,
    });
    reader.unwrap_or(Reader::Everybody)
}

pub(crate) fn process(process: ProcessId) -> String {
    format!("{PROCESSES}/{process}")
}

pub(crate) fn inbox(process: ProcessId) -> String {
    format!("inbox/{process}")
}

/// Bytes as one segment.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

/// Undoes [`hex`].
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_is_one_segment_and_comes_back() {
        let node = NodeId::new("rack/1:a").expect("a good id");
        assert_eq!(segment(&node), "rack%2F1:a");
        assert_eq!(node_of(&segment(&node)), Some(node));
        assert_eq!(node_of("a b"), None);
    }

    #[test]
    fn a_presence_tells_its_node_and_nothing_else_does() {
        let node = NodeId::new("rack/1:a").expect("a good id");
        let key = format!("{}/{}/1-0/0/ff", presence("role"), segment(&node));
        assert_eq!(node_of_presence(&key), Some(node));
        for other in ["process/1", "presence", "presence/role", "presence/role/a b/1-0"] {
            assert_eq!(node_of_presence(other), None, "{other}");
        }
    }

    #[test]
    fn what_one_serves_one_reads_and_everything_else_everybody() {
        let node = NodeId::new("rack/1:a").expect("a good id");
        for key in [service("double", &node), stream("count", &node)] {
            assert_eq!(reader_of(&key), Reader::Node(node.clone()), "{key}");
        }
        assert_eq!(reader_of(&inbox(ProcessId(7))), Reader::Process(ProcessId(7)));
        for other in [topic("service"), presence("inbox"), process(ProcessId(7))] {
            assert_eq!(reader_of(&other), Reader::Everybody, "{other}");
        }
        for bad in ["", "service", "service/double", "stream/count/a b", "inbox", "inbox/z"] {
            assert_eq!(reader_of(bad), Reader::Everybody, "{bad}");
        }
    }

    #[test]
    fn hex_comes_back_and_nothing_else_does() {
        assert_eq!(unhex(&hex(&[0, 15, 255])), Some(vec![0, 15, 255]));
        for bad in ["0", "0g", "+1", "ää"] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }
}
