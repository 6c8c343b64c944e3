//! Branching vessels of both lungs, and the primary tumour.
//!
//! Coordinates: average mm relative to the carina. Invariant: vessels stay inside the lung that they start in; they are painted over the
//! lung and under everything else.

use rand::RngExt;

use super::tissue::{Blood, WALL, blood};
use super::{Anatomy, Structure, Tissue};

/// Middle and radii of the space that the vessels of a lung fill.
const SPACE: ([f64; 3], [f64; 3]) = ([72.0, 6.0, -28.0], [42.0, 70.0, 118.0]);

struct Branch {
    from: [f64; 3],
    heading: [f64; 3],
    radius: f64,
    generation: u32,
}

impl Anatomy {
    pub(crate) fn lung_vessels(&self, random: &mut impl rand::Rng) -> Vec<Structure> {
        let mut list = Vec::new();
        let filled = blood(Blood::Pulmonary, self.phase, self.enhancement);
        for side in [-1.0, 1.0] {
            let center = [side * SPACE.0[0], SPACE.0[1], SPACE.0[2]];
            let hilum = [side * 44.0, 6.0, -20.0];
            let mut open: Vec<Branch> = (0..20)
                .map(|_| Branch {
                    from: [side * 46.0, random.random_range(-4.0..16.0), random.random_range(-42.0..0.0)],
                    heading: [
                        side * random.random_range(0.2..1.0),
                        random.random_range(-1.0..1.0),
                        random.random_range(-1.6..1.6),
                    ],
                    radius: random.random_range(1.4..2.8),
                    generation: 0,
                })
                .collect();
            while let Some(branch) = open.pop() {
                let length = branch.heading.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-6);
                let step = random.random_range(11.0..21.0) * 0.93f64.powi(branch.generation as i32);
                let to: [f64; 3] = std::array::from_fn(|axis| branch.from[axis] + step * branch.heading[axis] / length);
                let depth: f64 = (0..3).map(|axis| ((to[axis] - center[axis]) / SPACE.1[axis]).powi(2)).sum();
                if depth > 1.0 && branch.generation > 0 {
                    continue;
                }
                list.push(self.tube(branch.from, to, branch.radius, filled));
                if branch.generation >= 9 || branch.radius < 0.4 {
                    continue;
                }
                let spread = (0..3).map(|axis| (to[axis] - hilum[axis]).powi(2)).sum::<f64>().sqrt().max(1.0);
                let children = if random.random_bool(0.5) { 2 } else { 1 };
                for _ in 0..children {
                    let bend = if children == 2 { 0.6 } else { 0.2 };
                    open.push(Branch {
                        from: to,
                        // Away from the hilum, as a fan.
                        heading: std::array::from_fn(|axis| {
                            let outwards = (to[axis] - hilum[axis]) / spread;
                            branch.heading[axis] / length + 0.35 * outwards + random.random_range(-bend..bend)
                        }),
                        radius: branch.radius * if children == 2 { 0.74 } else { 0.9 },
                        generation: branch.generation + 1,
                    });
                }
            }
        }
        list
    }

    /// The tumour from which cancer spreads: a mass with spicules in the lung of its side. Returns its centre too.
    pub(crate) fn primary(&self, right: bool, random: &mut impl rand::Rng) -> ([f64; 3], Vec<Structure>) {
        let side = if right { -1.0 } else { 1.0 };
        let center = [
            side * random.random_range(66.0..88.0),
            random.random_range(-30.0..40.0),
            random.random_range(-90.0..50.0),
        ];
        let size = random.random_range(8.0..20.0);
        let tumour = Tissue { hu: WALL.hu + 15.0, suv: random.random_range(4.0..14.0), grain: 6.0 };
        let mut list =
            vec![self.turned(center, [size, 0.85 * size, 0.9 * size], random.random_range(0.0..3.0), tumour)];
        for _ in 0..14 {
            let direction: [f64; 3] = std::array::from_fn(|_| random.random_range(-1.0..1.0));
            let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt().max(0.3);
            let reach = size * random.random_range(1.1..1.5);
            let tip = std::array::from_fn(|axis| center[axis] + reach * direction[axis] / length);
            list.push(self.tube(center, tip, random.random_range(0.5..1.1), tumour));
        }
        (self.place(center), list)
    }
}
