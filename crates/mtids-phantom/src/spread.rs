//! How cancer spreads: a Bayesian network over stations, and what it says of a node.
//!
//! Model: a station is free or involved. Each edge carries cancer from an involved station (or the primary) with its own probability, the
//! edges of a station acting alone ("noisy or"). A node of an involved station is metastatic with the share ρ that gives the cohort its
//! prevalence. `region_association` a mixes this with a coin: P(metastatic | X) = f · (a·ρ·X + (1 − a)·prevalence), f being the factor of the
//! site. Source of the form: Pouymayou et al. 2019, doi 10.1088/1361-6560/ab2a18. Invariant: [`Spread::posteriors`] is Bayes' rule on
//! exactly this, summed over all states of the network.

use mtids_domain::taxonomy::Station;
use rand::RngExt;

use crate::config::{PhantomConfig, SpreadEdge, station};
use crate::error::PhantomError;
use crate::station::{COUNT, index};

/// Edges into a station: bit of the source (`PRIMARY` always involved) and the probability that they fail.
type Network = Vec<(usize, Vec<(Option<usize>, f64)>)>;

/// The model of a cohort.
#[derive(Debug)]
pub(crate) struct Spread {
    right_sided: f64,
    /// Stations in an order in which causes come first, with their edges; right and left.
    networks: [Network; 2],
    /// P(involved) of each station, right and left.
    involved: [[f64; COUNT]; 2],
    association: f64,
    prevalence: f64,
    /// Share of metastatic nodes in an involved station.
    share: f64,
    /// Factor of the prevalence for each site.
    sites: Vec<f64>,
}

/// A node as the network sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observed {
    pub(crate) station: Station,
    /// log P(appearance | metastatic) − log P(appearance | benign).
    pub(crate) log_ratio: f64,
}

impl Spread {
    /// # Errors
    /// [`PhantomError::Config`] for an edge that is no edge, a circle, or a prevalence that the spread cannot give.
    pub(crate) fn new(config: &PhantomConfig) -> Result<Self, PhantomError> {
        let networks = [
            network(&config.spread.right).map_err(|reason| PhantomError::config("spread.right", reason))?,
            network(&config.spread.left).map_err(|reason| PhantomError::config("spread.left", reason))?,
        ];
        let involved = [0, 1].map(|side| marginals(&networks[side]));
        let right_sided = config.spread.right_sided;
        let shares = config.nodes.station_shares()?;
        let mean: f64 = shares
            .iter()
            .map(|&(station, share)| {
                let v = index(station);
                share * (right_sided * involved[0][v] + (1.0 - right_sided) * involved[1][v])
            })
            .sum();
        let association = config.interference.region_association;
        let prevalence = config.prevalence;
        let share = if mean > 0.0 { prevalence / mean } else { f64::INFINITY };
        let sites = site_factors(config)?;
        let most = sites.iter().copied().fold(1.0, f64::max);
        let highest =
            most * (association * if association > 0.0 { share } else { 0.0 } + (1.0 - association) * prevalence);
        if highest > 1.0 {
            return Err(PhantomError::config(
                "prevalence",
                format!(
                    "with this spread, association and sites a node would be metastatic with probability {highest:.2}; at an \
                     association of 1 the spread gives at most {mean:.2}. Lower the prevalence, `interference.region_association` or \
                     `interference.site_association`, or raise edges of `spread`"
                ),
            ));
        }
        let share = if association > 0.0 { share } else { 0.0 };
        Ok(Self { right_sided, networks, involved, association, prevalence, share, sites })
    }

    /// Draws the side of the primary (true: right) and the involved stations, as bits in the order of [`crate::station::STATIONS`].
    pub(crate) fn draw(&self, random: &mut impl rand::Rng) -> (bool, u32) {
        let right = random.random_bool(self.right_sided);
        let mut state = 0u32;
        for (v, edges) in &self.networks[usize::from(!right)] {
            if random.random_bool(arrival(edges, state)) {
                state |= 1 << v;
            }
        }
        (right, state)
    }

    /// P(metastatic) of a node whose station is involved or not.
    pub(crate) fn chance(&self, involved: bool, site: usize) -> f64 {
        let spread = if involved { self.share } else { 0.0 };
        self.sites[site] * (self.association * spread + (1.0 - self.association) * self.prevalence)
    }

    /// P(metastatic) of a node of `station` at a site, the side of the primary unknown.
    pub(crate) fn prior(&self, station: Station, site: usize) -> f64 {
        let v = index(station);
        let involved = self.right_sided * self.involved[0][v] + (1.0 - self.right_sided) * self.involved[1][v];
        involved * self.chance(true, site) + (1.0 - involved) * self.chance(false, site)
    }

    /// P(metastatic) of each node given the appearance and station of all nodes of the patient, and the side of the primary.
    pub(crate) fn posteriors(&self, right: bool, site: usize, nodes: &[Observed]) -> Vec<f64> {
        let chances = [self.chance(false, site), self.chance(true, site)];
        // log P(appearances in a station | free or involved) − log P(the same | benign).
        let mut evidence = [[0.0f64; 2]; COUNT];
        for node in nodes {
            let ratio = node.log_ratio.clamp(-40.0, 40.0).exp();
            for (involved, chance) in chances.iter().enumerate() {
                evidence[index(node.station)][involved] += (chance * ratio + 1.0 - chance).ln();
            }
        }
        // One scale for both states of a station keeps the products finite.
        for pair in &mut evidence {
            let most = pair[0].max(pair[1]);
            pair.iter_mut().for_each(|x| *x = (*x - most).exp());
        }
        let network = &self.networks[usize::from(!right)];
        let mut total = 0.0;
        let mut mass = [0.0f64; COUNT];
        for state in 0..1u32 << COUNT {
            let mut weight = 1.0;
            for (v, edges) in network {
                let arrives = arrival(edges, state);
                let involved = state >> v & 1 == 1;
                weight *= if involved { arrives } else { 1.0 - arrives };
                if weight == 0.0 {
                    break;
                }
                weight *= evidence[*v][usize::from(involved)];
            }
            if weight > 0.0 {
                total += weight;
                for (v, sum) in mass.iter_mut().enumerate() {
                    if state >> v & 1 == 1 {
                        *sum += weight;
                    }
                }
            }
        }
        nodes
            .iter()
            .map(|node| {
                let involved = mass[index(node.station)] / total;
                involved * bayes(chances[1], node.log_ratio) + (1.0 - involved) * bayes(chances[0], node.log_ratio)
            })
            .collect()
    }
}

/// Posterior from a prior and a log likelihood ratio.
pub(crate) fn bayes(prior: f64, log_ratio: f64) -> f64 {
    if prior <= 0.0 || prior >= 1.0 {
        return prior.clamp(0.0, 1.0);
    }
    1.0 / (1.0 + (-(prior.ln() - (1.0 - prior).ln() + log_ratio)).exp())
}

/// Whether a drawn state involves a station.
pub(crate) fn is_involved(state: u32, station: Station) -> bool {
    state >> index(station) & 1 == 1
}

/// P(involved | causes): one minus the chance that every edge from an involved cause fails.
fn arrival(edges: &[(Option<usize>, f64)], state: u32) -> f64 {
    1.0 - edges
        .iter()
        .filter(|(source, _)| source.is_none_or(|u| state >> u & 1 == 1))
        .map(|(_, carries)| 1.0 - carries)
        .product::<f64>()
}

fn network(edges: &[SpreadEdge]) -> Result<Network, String> {
    let mut into: Vec<Vec<(Option<usize>, f64)>> = vec![Vec::new(); COUNT];
    for (from, to, carries) in edges {
        if !(0.0..=1.0).contains(carries) {
            return Err(format!("{from} → {to}: {carries} is not a probability"));
        }
        let source = if from == "primary" { None } else { Some(index(station(from)?)) };
        into[index(station(to)?)].push((source, *carries));
    }
    // Causes first: take stations whose sources are all taken.
    let mut order: Network = Vec::new();
    while order.len() < COUNT {
        let taken = |v: usize| order.iter().any(|(known, _)| *known == v);
        let ready = (0..COUNT)
            .find(|&v| !taken(v) && into[v].iter().all(|(source, _)| source.is_none_or(taken)))
            .ok_or("the edges form a cycle")?;
        order.push((ready, std::mem::take(&mut into[ready])));
    }
    Ok(order)
}

/// P(involved) of each station, by enumeration.
fn marginals(network: &Network) -> [f64; COUNT] {
    let mut mass = [0.0; COUNT];
    for state in 0..1u32 << COUNT {
        let mut weight = 1.0;
        for (v, edges) in network {
            let arrives = arrival(edges, state);
            weight *= if state >> v & 1 == 1 { arrives } else { 1.0 - arrives };
            if weight == 0.0 {
                break;
            }
        }
        if weight > 0.0 {
            for (v, sum) in mass.iter_mut().enumerate() {
                if state >> v & 1 == 1 {
                    *sum += weight;
                }
            }
        }
    }
    mass
}

/// Every second site has more metastases, the others fewer, so that the mean over sites stays 1.
fn site_factors(config: &PhantomConfig) -> Result<Vec<f64>, PhantomError> {
    let association = config.interference.site_association;
    let weight = |odd: usize| {
        config.sites.iter().enumerate().filter(|(n, _)| n % 2 == odd).map(|(_, site)| site.weight).sum::<f64>()
    };
    let [even, odd] = [weight(0), weight(1)];
    if association > 0.0 && (even <= 0.0 || odd <= 0.0) {
        return Err(PhantomError::config(
            "interference.site_association",
            "confounding by site needs a site with a weight at an even and at an odd position of the list",
        ));
    }
    // The rarer group gets the full association, so that no factor falls below 0.
    let share = |own: f64, other: f64| if own <= other { association } else { association * other / own };
    Ok((0..config.sites.len())
        .map(|n| if n % 2 == 0 { 1.0 + share(even, odd) } else { 1.0 - share(odd, even) })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Interference;
    use crate::station::STATIONS;
    use mtids_runtime::random::rng_for;

    fn config(association: f64) -> PhantomConfig {
        PhantomConfig {
            interference: Interference { region_association: association, ..Default::default() },
            prevalence: 0.2,
            ..Default::default()
        }
    }

    #[test]
    fn posteriors_are_calibrated_against_the_drawn_truth() {
        let spread = Spread::new(&config(0.8)).unwrap();
        let mut random = rng_for(1, "spread", &[]);
        let mut bins = [(0.0f64, 0.0, 0.0); 5];
        for _ in 0..1500 {
            let (right, state) = spread.draw(&mut random);
            let (mut observed, mut truth) = (Vec::new(), Vec::new());
            for _ in 0..6 {
                let v = random.random_range(0..COUNT);
                let metastatic = random.random_bool(spread.chance(state >> v & 1 == 1, 0));
                // A feature of two values, 0.7 or 0.3 likely.
                let seen = random.random_bool(if metastatic { 0.7 } else { 0.3 });
                let log_ratio = if seen { (7.0f64 / 3.0).ln() } else { (3.0f64 / 7.0).ln() };
                observed.push(Observed { station: STATIONS[v], log_ratio });
                truth.push(metastatic);
            }
            for (posterior, metastatic) in spread.posteriors(right, 0, &observed).into_iter().zip(truth) {
                let bin = &mut bins[((posterior * 5.0) as usize).min(4)];
                bin.0 += 1.0;
                bin.1 += posterior;
                bin.2 += f64::from(u8::from(metastatic));
            }
        }
        for (count, posterior, seen) in bins {
            if count > 30.0 {
                let error = 4.0 * (0.25f64 / count).sqrt();
                assert!((posterior - seen).abs() / count < error, "{posterior} {seen} of {count}");
            }
        }
    }

    #[test]
    fn without_association_stations_say_nothing() {
        let spread = Spread::new(&config(0.0)).unwrap();
        for station in STATIONS {
            assert!((spread.prior(station, 0) - 0.2).abs() < 1e-12);
        }
        let node = Observed { station: Station::S4R, log_ratio: 1.3 };
        assert!((spread.posteriors(true, 0, &[node; 3])[0] - bayes(0.2, 1.3)).abs() < 1e-12);
    }

    #[test]
    fn the_prevalence_is_kept_for_any_association() {
        for association in [0.0, 0.5, 1.0] {
            let config = config(association);
            let spread = Spread::new(&config).unwrap();
            let mean: f64 = config
                .nodes
                .station_shares()
                .unwrap()
                .iter()
                .map(|&(station, share)| share * spread.prior(station, 0))
                .sum();
            assert!((mean - 0.2).abs() < 1e-9, "{mean}");
        }
    }

    #[test]
    fn a_circle_and_an_impossible_prevalence_are_refused() {
        let edge = |from: &str, to: &str| (from.to_owned(), to.to_owned(), 0.5);
        assert!(network(&[edge("4R", "2R"), edge("2R", "4R")]).unwrap_err().contains("cycle"));
        assert!(network(&[edge("4R", "12R")]).is_err());
        let mut impossible = config(1.0);
        impossible.prevalence = 0.9;
        assert!(Spread::new(&impossible).unwrap_err().to_string().contains("prevalence"));
    }

    #[test]
    fn confounding_by_site_keeps_the_mean() {
        let mut config = config(0.3);
        config.interference.site_association = 0.6;
        let factors = site_factors(&config).unwrap();
        let total: f64 = config.sites.iter().map(|site| site.weight).sum();
        let mean: f64 = config.sites.iter().zip(&factors).map(|(site, f)| site.weight / total * f).sum();
        assert!((mean - 1.0).abs() < 1e-12 && factors[0] > 1.0 && factors[1] < 1.0, "{factors:?}");
    }
}
