//! Names and numbers, one type for each role, so that two never change places.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing at all.
    #[error("{what} is empty")]
    Empty {
        /// The kind of id.
        what: &'static str,
    },
    /// Longer than an id may be.
    #[error("{what} has {length} bytes, at most {limit} are allowed")]
    TooLong {
        /// The kind of id.
        what: &'static str,
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not as long as it has to be.
    #[error("{what} has {length} characters, {expected} are needed")]
    Length {
        /// The kind of id.
        what: &'static str,
        /// Characters given.
        length: usize,
        /// Characters needed.
        expected: usize,
    },
    /// A character that would be ambiguous in a topic, a path or a log line.
    #[error("{what} contains {character:?}; letters, digits and . _ - / : are allowed")]
    Character {
        /// The kind of id.
        what: &'static str,
        /// The first offender.
        character: char,
    },
}

/// Longest id in bytes: room for `organisation/model-name-with-quantisation`.
const LIMIT: usize = 192;

fn check(what: &'static str, text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    if text.len() > LIMIT {
        return Err(IdError::TooLong { what, length: text.len(), limit: LIMIT });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':');
    match text.chars().find(|c| !allowed(*c)) {
        Some(character) => Err(IdError::Character { what, character }),
        None => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text: 1 to 192 bytes of ASCII letters, digits and `. _ - / :`.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check($what, &text)?;
                Ok(Self(text))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
    };
}

id!(
    /// A machine in the cluster; kept in its data directory over restarts.
    NodeId,
    "node id"
);
id!(
    /// A model, as users name it in requests: `exo-guide`, `org/name`.
    ModelId,
    "model id"
);
id!(
    /// A placed model.
    InstanceId,
    "instance id"
);
id!(
    /// One shard of one instance and the process that holds it.
    RunnerId,
    "runner id"
);
id!(
    /// One command; given by the sender, so that a repetition is recognised.
    CommandId,
    "command id"
);
id!(
    /// Something that a command set going and that ends.
    TaskId,
    "task id"
);
id!(
    /// Something that a user asked to be placed, and that stays asked for until it is taken back.
    IntentId,
    "intent id"
);
id!(
    /// A token that admits nodes; names it without giving its secret away.
    JoinTokenId,
    "join token id"
);
id!(
    /// One generation request on a stream.
    RequestId,
    "request id"
);

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Place of an event in its session's log; the first is 1, 0 means "none yet".
    EventIndex
);
number!(
    /// One life of one process of a node: facts are numbered anew in each.
    OriginEpoch
);
number!(
    /// Place of a fact among those of one origin; the first is 1.
    OriginSequence
);

/// Milliseconds since the Unix epoch, as told by whoever recorded them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

/// One life of the cluster's log. The larger generation replaces the smaller.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionId {
    /// Counts the lives, from 1.
    pub generation: u64,
    /// Who opened it.
    pub master_node_id: NodeId,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.generation, self.master_node_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_would_be_ambiguous_in_a_topic_or_a_path() {
        for (text, good) in [
            ("a", true),
            ("org/name-7B_Q4.gguf:v1", true),
            ("", false),
            ("a b", false),
            ("a*", false),
            ("ä", false),
            ("a\n", false),
        ] {
            assert_eq!(NodeId::new(text).is_ok(), good, "{text:?}");
        }
        assert!(NodeId::new("x".repeat(193)).is_err());
    }

    #[test]
    fn an_id_from_the_wire_is_checked_too() {
        assert!(serde_json::from_str::<ModelId>("\"../../etc passwd\"").is_err());
    }
}
