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
    /// A type that is known only at evaluation.
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

    /// Whether a value of this type can be a number.
    pub(super) fn may_be_number(self) -> bool {
        matches!(self, Self::Int | Self::Double | Self::Dyn)
    }

    /// The type of the values of a list or map; `None` if this type is neither.
    pub(super) const fn element(self) -> Option<Self> {
        match self {
            Self::Strings | Self::StringMap => Some(Self::String),
            Self::List | Self::Map | Self::Dyn => Some(Self::Dyn),
            _ => None,
        }
    }

    /// The type of the variable of a macro over this type: an element of a list, or a key of a map. `None` if this type is neither
    /// a list nor a map.
    pub(super) const fn macro_variable(self) -> Option<Self> {
        match self {
            Self::Strings | Self::StringMap | Self::Map => Some(Self::String),
            Self::List | Self::Dyn => Some(Self::Dyn),
            _ => None,
        }
    }

    /// The type of a list of values of this type.
    pub(super) fn list_type(self) -> Self {
        if self == Self::String { Self::Strings } else { Self::List }
    }

    /// The type of an expression that yields one type or the other.
    pub(super) fn common_type(self, other: Self) -> Self {
        if self == other { self } else { Self::Dyn }
    }
}
