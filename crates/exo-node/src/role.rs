//! What a process is.

use exo_types::Roles;
use std::fmt;

/// Which of the services a process is; `All` is `exo up`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// exo-master.
    Master,
    /// exo-worker.
    Worker,
    /// exo-api.
    Api,
    /// All three in one process.
    All,
}

impl Role {
    /// The services that it is made of.
    pub fn parts(self) -> &'static [Role] {
        match self {
            Self::Master => &[Self::Master],
            Self::Worker => &[Self::Worker],
            Self::Api => &[Self::Api],
            Self::All => &[Self::Master, Self::Worker, Self::Api],
        }
    }

    /// As one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Worker => "worker",
            Self::Api => "api",
            Self::All => "all",
        }
    }

    /// As other nodes see it.
    pub fn roles(self) -> Roles {
        let has = |part| self.parts().contains(&part);
        Roles { master: has(Self::Master), worker: has(Self::Worker), api: has(Self::Api) }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
