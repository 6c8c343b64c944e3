//! What nodes look like, where they lie, and how cancer spreads: parameters, with their defaults and sources in `parameters.toml`.
//!
//! Invariant: every distribution is proper (deviations above 0, shares in 0..=1 that add up), checked before anything is drawn.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use mtids_domain::taxonomy::Station;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::PhantomError;

/// A normal distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NormalLaw {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub deviation: f64,
}

/// A log-normal distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogNormalLaw {
    /// Median.
    pub median: f64,
    /// Standard deviation of the natural logarithm.
    pub log_deviation: f64,
}

/// How nodes of one status look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppearanceLaw {
    /// Short axis in mm.
    pub short_axis_mm: LogNormalLaw,
    /// Long axis over short axis in the axial plane; what is drawn below 1 is lifted to 1.
    pub elongation: NormalLaw,
    /// Standard deviation of the margin over half the short axis.
    pub irregularity: LogNormalLaw,
    /// Enhancement above native tissue in the venous phase, HU.
    pub enhancement_hu: NormalLaw,
    /// Uptake in PET, SUV by body weight.
    pub uptake_suv: LogNormalLaw,
    /// Share with a fatty hilum.
    pub hilum: f64,
    /// Share with a core that does not enhance.
    pub necrosis: f64,
    /// Share with a calcification.
    pub calcified: f64,
    /// Shares of one, two and three nodes grown together.
    pub lobules: [f64; 3],
}

/// Nodes of both states, and where they lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeParameters {
    /// Benign nodes.
    #[serde(default = "default_benign")]
    pub benign: AppearanceLaw,
    /// Metastatic nodes.
    #[serde(default = "default_metastatic")]
    pub metastatic: AppearanceLaw,
    /// Weight of each station, whatever the status of the node.
    #[serde(default = "default_stations")]
    pub stations: BTreeMap<String, f64>,
}

/// An edge of the network of stations: from, to, probability. `primary` is the tumour.
pub type SpreadEdge = (String, String, f64);

/// How cancer spreads from the primary over stations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpreadParameters {
    /// Share of primaries in the right lung.
    #[serde(default = "default_right_sided")]
    pub right_sided: f64,
    /// Edges for a primary in the right lung.
    #[serde(default = "default_right")]
    pub right: Vec<SpreadEdge>,
    /// Edges for a primary in the left lung.
    #[serde(default = "default_left")]
    pub left: Vec<SpreadEdge>,
}

#[derive(Deserialize)]
struct Defaults {
    nodes: NodeParameters,
    spread: SpreadParameters,
}

/// The file of defaults, read once. Defaults of single keys are asked for here and not by `Default`, which reads the file itself.
fn defaults() -> &'static Defaults {
    static DEFAULTS: OnceLock<Defaults> = OnceLock::new();
    DEFAULTS.get_or_init(|| {
        mtids_runtime::config::parse(include_str!("../../parameters.toml"))
            .expect("the file is part of the program, and a test reads it")
    })
}

fn default_benign() -> AppearanceLaw {
    defaults().nodes.benign.clone()
}

fn default_metastatic() -> AppearanceLaw {
    defaults().nodes.metastatic.clone()
}

fn default_stations() -> BTreeMap<String, f64> {
    defaults().nodes.stations.clone()
}

fn default_right_sided() -> f64 {
    defaults().spread.right_sided
}

fn default_right() -> Vec<SpreadEdge> {
    defaults().spread.right.clone()
}

fn default_left() -> Vec<SpreadEdge> {
    defaults().spread.left.clone()
}

impl Default for NodeParameters {
    fn default() -> Self {
        defaults().nodes.clone()
    }
}

impl Default for SpreadParameters {
    fn default() -> Self {
        defaults().spread.clone()
    }
}

impl NormalLaw {
    fn toward(self, other: Self, share: f64) -> Self {
        let mix = |a: f64, b: f64| a + share * (b - a);
        Self { mean: mix(self.mean, other.mean), deviation: mix(self.deviation, other.deviation) }
    }
}

impl LogNormalLaw {
    fn toward(self, other: Self, share: f64) -> Self {
        let mix = |a: f64, b: f64| a + share * (b - a);
        let median = mix(self.median.ln(), other.median.ln()).exp();
        Self { median, log_deviation: mix(self.log_deviation, other.log_deviation) }
    }
}

impl AppearanceLaw {
    /// This law moved toward `other`: the size by the share `size`, everything else by `rest`. 0 is this law, 1 the other.
    pub(crate) fn toward(&self, other: &Self, size: f64, rest: f64) -> Self {
        let mix = |a: f64, b: f64| a + rest * (b - a);
        Self {
            short_axis_mm: self.short_axis_mm.toward(other.short_axis_mm, size),
            elongation: self.elongation.toward(other.elongation, rest),
            irregularity: self.irregularity.toward(other.irregularity, rest),
            enhancement_hu: self.enhancement_hu.toward(other.enhancement_hu, rest),
            uptake_suv: self.uptake_suv.toward(other.uptake_suv, rest),
            hilum: mix(self.hilum, other.hilum),
            necrosis: mix(self.necrosis, other.necrosis),
            calcified: mix(self.calcified, other.calcified),
            lobules: std::array::from_fn(|n| mix(self.lobules[n], other.lobules[n])),
        }
    }

    fn validate(&self, key: &'static str) -> Result<(), PhantomError> {
        for (name, law) in [
            ("short_axis_mm", self.short_axis_mm),
            ("irregularity", self.irregularity),
            ("uptake_suv", self.uptake_suv),
        ] {
            if !((0.001..=1000.0).contains(&law.median) && (0.01..=2.0).contains(&law.log_deviation)) {
                return Err(PhantomError::config(
                    key,
                    format!("`{name}` needs a median between 0.001 and 1000 and a log_deviation between 0.01 and 2"),
                ));
            }
        }
        for (name, law) in [("elongation", self.elongation), ("enhancement_hu", self.enhancement_hu)] {
            if !((-1000.0..=1000.0).contains(&law.mean) && (0.01..=200.0).contains(&law.deviation)) {
                return Err(PhantomError::config(
                    key,
                    format!("`{name}` needs a mean within ±1000 and a deviation between 0.01 and 200"),
                ));
            }
        }
        if !(3.0..=30.0).contains(&self.short_axis_mm.median) {
            return Err(PhantomError::config(key, "`short_axis_mm` needs a median between 3 and 30"));
        }
        for (name, share) in [("hilum", self.hilum), ("necrosis", self.necrosis), ("calcified", self.calcified)] {
            // Strictly inside: a node that one state alone can have would make the posterior 0 or 1.
            if !(0.001..=0.999).contains(&share) {
                return Err(PhantomError::config(key, format!("`{name}` is a share between 0.001 and 0.999")));
            }
        }
        if self.lobules.iter().any(|share| !(0.001..=1.0).contains(share))
            || (self.lobules.iter().sum::<f64>() - 1.0).abs() > 1e-6
        {
            return Err(PhantomError::config(key, "`lobules` are three shares above 0 that add up to 1"));
        }
        Ok(())
    }
}

impl NodeParameters {
    /// Stations with their shares, which add up to 1.
    ///
    /// # Errors
    /// [`PhantomError::Config`] for an unknown station, or one that the phantom does not know.
    pub(crate) fn station_shares(&self) -> Result<Vec<(Station, f64)>, PhantomError> {
        const KEY: &str = "nodes.stations";
        let mut shares = Vec::new();
        for (name, &weight) in &self.stations {
            let station = station(name).map_err(|reason| PhantomError::config(KEY, reason))?;
            if !(0.0..=1e6).contains(&weight) {
                return Err(PhantomError::config(KEY, format!("the weight of {name} is {weight}")));
            }
            shares.push((station, weight));
        }
        let total: f64 = shares.iter().map(|(_, weight)| weight).sum();
        if total <= 0.0 {
            return Err(PhantomError::config(KEY, "no station has a weight above 0"));
        }
        shares.iter_mut().for_each(|(_, weight)| *weight /= total);
        Ok(shares)
    }

    pub(crate) fn validate(&self) -> Result<(), PhantomError> {
        self.benign.validate("nodes.benign")?;
        self.metastatic.validate("nodes.metastatic")?;
        self.station_shares().map(|_| ())
    }
}

/// A station that the phantom's anatomy has borders for.
pub(crate) fn station(name: &str) -> Result<Station, String> {
    let station: Station =
        name.parse().map_err(|error: mtids_domain::taxonomy::ParseStationError| error.to_string())?;
    if crate::station::STATIONS.contains(&station) {
        return Ok(station);
    }
    let known: Vec<&str> = crate::station::STATIONS.iter().map(|station| station.code()).collect();
    Err(format!("the phantom has no place for station {station}; it has {}", known.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_defaults_is_valid() {
        NodeParameters::default().validate().unwrap();
        assert!((0.0..1.0).contains(&SpreadParameters::default().right_sided));
    }

    #[test]
    fn moving_a_law_by_nothing_keeps_it_and_by_all_gives_the_other() {
        let NodeParameters { benign, metastatic, .. } = NodeParameters::default();
        assert_eq!(benign.toward(&metastatic, 0.0, 0.0).hilum, benign.hilum);
        let moved = benign.toward(&metastatic, 1.0, 1.0);
        assert!((moved.short_axis_mm.median - metastatic.short_axis_mm.median).abs() < 1e-9);
        assert!((moved.lobules[2] - metastatic.lobules[2]).abs() < 1e-12);
    }
}
