//! What is known of a value before there is one.

/// The type of an expression, as far as it can be told from its text.
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
    /// A list of anything.
    List,
    /// From strings to strings.
    StringMap,
    /// From strings to anything.
    Map,
    /// Told when it is evaluated.
    Dyn,
}

impl Kind {
    /// Whether a value of this kind may turn out to be what is wanted.
    pub(super) fn fits(self, wanted: Self) -> bool {
        let is_list = |kind| matches!(kind, Self::Strings | Self::List);
        let is_map = |kind| matches!(kind, Self::StringMap | Self::Map);
        self == wanted
            || self == Self::Dyn
            || wanted == Self::Dyn
            || (is_list(self) && is_list(wanted))
            || (is_map(self) && is_map(wanted))
    }

    /// Whether there is an order or arithmetic on two such values.
    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Double | Self::Dyn)
    }

    /// What is found in it by key or index.
    pub(super) const fn element(self) -> Option<Self> {
        match self {
            Self::Strings | Self::StringMap => Some(Self::String),
            Self::List | Self::Map | Self::Dyn => Some(Self::Dyn),
            _ => None,
        }
    }

    /// What a macro meets one after the other: elements of a list, keys of a map.
    pub(super) const fn each(self) -> Option<Self> {
        match self {
            Self::Strings | Self::StringMap | Self::Map => Some(Self::String),
            Self::List | Self::Dyn => Some(Self::Dyn),
            _ => None,
        }
    }

    /// A list of these.
    pub(super) fn listed(self) -> Self {
        if self == Self::String { Self::Strings } else { Self::List }
    }

    /// Either of the two.
    pub(super) fn or(self, other: Self) -> Self {
        if self == other { self } else { Self::Dyn }
    }
}
