//! Static types of expressions.

/// The static type of an expression, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int,
    Double,
    String,
    Timestamp,
    Null,
    /// A list of strings.
    Strings,
    /// A list with elements of any type.
    List,
    /// A map from strings to strings.
    StringMap,
    /// A map from strings to any type.
    Map,
    /// Known only at evaluation.
    Dyn,
}

impl Kind {
    /// Whether a value of this type can be of the wanted type.
    pub(super) fn fits(self, wanted: Self) -> bool {
        let is_list = |kind| matches!(kind, Self::Strings | Self::List);
        let is_map = |kind| matches!(kind, Self::StringMap | Self::Map);
        self == wanted
            || self == Self::Dyn
            || wanted == Self::Dyn
            || (is_list(self) && is_list(wanted))
            || (is_map(self) && is_map(wanted))
    }

    /// Whether it supports order and arithmetic.
    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Double | Self::Dyn)
    }

    /// The type of its elements, by key or index.
    pub(super) const fn element(self) -> Option<Self> {
        match self {
            Self::Strings | Self::StringMap => Some(Self::String),
            Self::List | Self::Map | Self::Dyn => Some(Self::Dyn),
            _ => None,
        }
    }

    /// The type of a macro's variable: elements of a list, keys of a map.
    pub(super) const fn each(self) -> Option<Self> {
        match self {
            Self::Strings | Self::StringMap | Self::Map => Some(Self::String),
            Self::List | Self::Dyn => Some(Self::Dyn),
            _ => None,
        }
    }

    /// The type of a list with these elements.
    pub(super) fn listed(self) -> Self {
        if self == Self::String { Self::Strings } else { Self::List }
    }

    /// The common type of the two.
    pub(super) fn or(self, other: Self) -> Self {
        if self == other { self } else { Self::Dyn }
    }
}
