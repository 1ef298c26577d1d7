//! Typed names: what travels under a name is part of the name.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;

/// What can travel.
pub trait Message: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Message for T {}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident<$($type:ident),+>) => {
        $(#[$doc])*
        pub struct $name<$($type),+> {
            name: &'static str,
            types: PhantomData<fn() -> ($($type,)+)>,
        }

        impl<$($type),+> $name<$($type),+> {
            /// Names it. The name is one segment of a key: letters, digits and underscores.
            pub const fn new(name: &'static str) -> Self {
                Self { name, types: PhantomData }
            }

            /// The name as text.
            pub const fn name(&self) -> &'static str {
                self.name
            }
        }

        impl<$($type),+> Clone for $name<$($type),+> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<$($type),+> Copy for $name<$($type),+> {}

        impl<$($type),+> fmt::Debug for $name<$($type),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.name)
            }
        }
    };
}

name!(
    /// A broadcast of `M` to whoever subscribes.
    Topic<M>
);
name!(
    /// A question `Q` to one node, and its answer `R`.
    Service<Q, R>
);
name!(
    /// What processes say of themselves with a `P` for as long as they live.
    PresenceKind<P>
);
name!(
    /// A question `Q` to one node, answered by many `I`.
    StreamService<Q, I>
);

/// One life of one process on the bus; a node may run several, and a restart makes a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u64);

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl std::str::FromStr for ProcessId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}
