//! Instruction sets.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Which kernels are used. Ordered from the best to the one that every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// AVX-512, and AMX tiles (int8, bf16) for products with many rows.
    Amx,
    /// AVX-512 F, BW, VL, DQ, VNNI and BF16.
    Avx512,
    /// AVX2 with FMA and F16C.
    Avx2,
    /// What the compiler makes of plain Rust.
    Portable,
}

/// An instruction set that cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum IsaError {
    /// Not a name of one.
    #[error("unknown instruction set {0:?}; use amx, avx512, avx2 or portable")]
    Unknown(String),
    /// This machine does not have it.
    #[error("this machine has no {wanted}; it has {}", .available.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", "))]
    Unavailable {
        /// What was asked for.
        wanted: Isa,
        /// What there is.
        available: Vec<Isa>,
    },
}

impl Isa {
    /// All, the best one first.
    pub const ALL: [Self; 4] = [Self::Amx, Self::Avx512, Self::Avx2, Self::Portable];

    /// The best one that this machine has.
    pub fn detect() -> Self {
        Self::ALL.into_iter().find(|isa| isa.is_available()).unwrap_or(Self::Portable)
    }

    /// Every one that this machine has, the best one first.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// The name that [`FromStr`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amx => "amx",
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }

    /// Itself, if this machine has it.
    pub fn checked(self) -> Result<Self, IsaError> {
        if self.is_available() {
            Ok(self)
        } else {
            Err(IsaError::Unavailable { wanted: self, available: Self::available() })
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn is_available(self) -> bool {
        match self {
            Self::Amx => Self::Avx512.is_available() && crate::matmul::amx::is_available(),
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vnni")
                    && is_x86_feature_detected!("avx512bf16")
                    && Self::Avx2.is_available()
            }
            Self::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            Self::Portable => true,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_available(self) -> bool {
        self == Self::Portable
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(text: &str) -> Result<Self, IsaError> {
        let named = Self::ALL.into_iter().find(|isa| isa.name() == text);
        named.ok_or_else(|| IsaError::Unknown(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_others_are_refused_with_the_list() {
        for isa in Isa::ALL {
            assert_eq!(isa.name().parse(), Ok(isa));
        }
        let error = "sse".parse::<Isa>().expect_err("not a name");
        assert_eq!(error.to_string(), "unknown instruction set \"sse\"; use amx, avx512, avx2 or portable");
    }

    #[test]
    fn the_best_is_the_first_available_and_portable_always_is() {
        let available = Isa::available();
        assert_eq!(available.first(), Some(&Isa::detect()));
        assert_eq!(available.last(), Some(&Isa::Portable));
    }
}
