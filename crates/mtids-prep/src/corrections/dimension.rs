//! Which label of a finding a correction is about.

/// Which label is corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dimension {
    /// The region; the station becomes one of its stations.
    Region,
    /// The station, and with it the region.
    Station,
    /// The status; its evidence becomes unknown and its level the node, unless lines of the table name them.
    Metastasis,
    /// The evidence of the status.
    Evidence,
    /// What the status was given for.
    Level,
}

impl Dimension {
    pub(super) const ALL: [Self; 5] = [Self::Region, Self::Station, Self::Metastasis, Self::Evidence, Self::Level];

    /// Its word in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Region => "region",
            Self::Station => "station",
            Self::Metastasis => "metastasis",
            Self::Evidence => "evidence",
            Self::Level => "level",
        }
    }

    /// Two corrections of one finding contradict each other when they are about the same: a region is said by a station too.
    pub(super) fn subject(self) -> Self {
        if self == Self::Station { Self::Region } else { self }
    }
}
