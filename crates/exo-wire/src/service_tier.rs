//! `service_tier`: OpenAI's word for how urgent a request is.

use crate::ApiError;
use crate::fields::Fields;
use exo_types::Priority;
use serde::Serialize;

/// How urgent a request is, in the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceTier {
    /// Nobody waits for it: others may have their turn first, and their places.
    Flex,
    /// As most are.
    Default,
    /// Before all others.
    Priority,
}

impl ServiceTier {
    /// The one that the field names. `auto` leaves it to the server, and `scale` is a contract that nobody has here.
    pub(crate) fn take(fields: &mut Fields) -> Result<Option<Self>, ApiError> {
        match fields.text("service_tier")?.as_deref() {
            None => Ok(None),
            Some("flex") => Ok(Some(Self::Flex)),
            Some("auto" | "default" | "scale") => Ok(Some(Self::Default)),
            Some("priority") => Ok(Some(Self::Priority)),
            Some(_) => {
                let message = "`service_tier` must be one of auto, default, flex, priority";
                Err(ApiError::field("service_tier", "invalid_value", message))
            }
        }
    }

    /// The same in the cluster's word.
    pub(crate) fn priority(self) -> Priority {
        match self {
            Self::Flex => Priority::Low,
            Self::Default => Priority::Normal,
            Self::Priority => Priority::High,
        }
    }
}
