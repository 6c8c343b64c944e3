//! The convolution written from its definition, for tests.

use crate::geometry::Geometry;

/// Numbers in (−1, 1), a pure function of `seed`.
pub(crate) fn numbers(count: usize, seed: u64) -> Vec<f64> {
    (0..count as u64)
        .map(|n| ((n * 7919 + seed * 104_729 + 13) as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0)
        .collect()
}

/// Output, gradient of the input and gradient of the weight, from the definition: `y = Σ w x`, each product visited once.
pub(crate) fn definition(g: &Geometry, x: &[f64], weight: &[f64], gradient: &[f64]) -> [Vec<f64>; 3] {
    let mut result = [vec![0.0; g.batch * g.out_sample()], vec![0.0; x.len()], vec![0.0; weight.len()]];
    let (outputs, members) = (g.outputs / g.groups, g.members());
    for sample in 0..g.batch {
        for output in 0..g.outputs {
            for cell in 0..g.cells() {
                let at = [cell / (g.out[1] * g.out[2]), cell / g.out[2] % g.out[1], cell % g.out[2]];
                let to = (sample * g.outputs + output) * g.cells() + cell;
                for member in 0..members {
                    for tap in 0..g.taps() {
                        let k = [tap / (g.kernel[1] * g.kernel[2]), tap / g.kernel[2] % g.kernel[1], tap % g.kernel[2]];
                        let place = [0, 1, 2].map(|axis| {
                            (at[axis] * g.stride[axis] + k[axis] * g.dilation[axis]).wrapping_sub(g.padding[axis])
                        });
                        if (0..3).all(|axis| place[axis] < g.size[axis]) {
                            let channel = output / outputs * members + member;
                            let plane = (place[0] * g.size[1] + place[1]) * g.size[2] + place[2];
                            let from = (sample * g.inputs + channel) * g.plane() + plane;
                            let by = (output * members + member) * g.taps() + tap;
                            result[0][to] += weight[by] * x[from];
                            result[1][from] += weight[by] * gradient[to];
                            result[2][by] += x[from] * gradient[to];
                        }
                    }
                }
            }
        }
    }
    result
}
