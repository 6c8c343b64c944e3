//! Spine, shoulder blades and collar bones. Ribs and sternum belong to the chest wall ([`super::torso`]).
//!
//! Coordinates: average mm relative to the carina. Invariant: compact bone is painted before the spongy bone inside it.

use super::tissue::{CARTILAGE, CORD, CORTICAL, MUSCLE};
use super::{Anatomy, Structure, Tissue};

/// Height of a vertebra with its disc.
const PITCH: f64 = 23.0;

impl Anatomy {
    fn marrow(&self) -> Tissue {
        Tissue::marrow(self.marrow_hu)
    }

    /// Middle of a vertebral body, counted upwards from the carina.
    pub(crate) fn vertebra(&self, n: i32) -> [f64; 3] {
        [0.0, 54.0, PITCH * f64::from(n) + self.ribs]
    }

    pub(crate) fn skeleton(&self) -> Vec<Structure> {
        let marrow = self.marrow();
        // Deep muscles of the back around the arches, fat before the spine: there is no lung behind the gullet.
        let mut list = vec![
            self.tube([0.0, 84.0, 150.0], [0.0, 84.0, -210.0], 18.0, MUSCLE),
            self.tube([-14.0, 86.0, 150.0], [-14.0, 86.0, -210.0], 15.0, MUSCLE),
            self.tube([14.0, 86.0, 150.0], [14.0, 86.0, -210.0], 15.0, MUSCLE),
        ];
        // Bodies: one column of compact bone with spongy bone inside, cut by the discs.
        for (tissue, radius) in [(CORTICAL, 14.6), (marrow, 13.2)] {
            for side in [-3.2, 3.2] {
                list.push(self.tube([side, 53.0, 150.0], [side, 53.0, -210.0], radius, tissue));
            }
        }
        for n in -9..7 {
            let [x, y, z] = self.vertebra(n);
            list.push(self.ball([x, y - 1.0, z + 0.5 * PITCH], [18.5, 15.5, 4.6], CORTICAL));
            list.push(self.ball([x, y - 1.0, z + 0.5 * PITCH], [19.0, 16.0, 3.2], CARTILAGE));
            // Arch, transverse and spinous processes.
            let bone = Tissue { hu: 0.5 * (CORTICAL.hu + marrow.hu), suv: 1.0, grain: 40.0 };
            for side in [-1.0, 1.0] {
                list.push(self.tube([side * 10.0, y + 12.0, z + 4.0], [side * 10.0, y + 26.0, z + 2.0], 4.0, bone));
                list.push(self.tube([side * 10.0, y + 26.0, z + 2.0], [side * 30.0, y + 33.0, z + 4.0], 4.2, bone));
                list.push(self.tube([side * 10.0, y + 26.0, z], [0.0, y + 34.0, z - 4.0], 3.6, bone));
            }
            list.push(self.tube([0.0, y + 34.0, z - 4.0], [0.0, y + 52.0, z - 18.0], 3.2, bone));
        }
        list.push(self.tube([0.0, 76.0, 150.0], [0.0, 76.0, -210.0], 7.5, CORD));
        for side in [-1.0, 1.0] {
            // Shoulder blades: thin plates that lie on the back of the ribs.
            let center = [side * 90.0, 72.0, 30.0];
            let angle = -side * 0.85;
            list.push(self.turned(center, [31.0, 4.4, 58.0], angle, CORTICAL));
            list.push(self.turned(center, [29.0, 2.6, 56.0], angle, marrow));
            // Collar bones.
            let path = [[side * 16.0, -62.0, 72.0], [side * 60.0, -58.0, 84.0], [side * 104.0, -40.0, 94.0]];
            list.extend(self.path(&path, 6.0, CORTICAL));
            list.extend(self.path(&path, 4.2, marrow));
        }
        list
    }
}
