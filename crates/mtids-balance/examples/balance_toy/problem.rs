//! The problems: the two-task toy of the CAGrad, Nash-MTL and FAMO papers, and pairs with closed-form Pareto sets.
//!
//! Every problem gives losses and exact gradients at a point; the toy's gradients are checked against finite differences
//! before anything is run.

/// A point of the plane.
pub(crate) type Point = [f64; 2];

/// Losses and gradients of two tasks.
pub(crate) struct Tasks {
    pub(crate) losses: [f64; 2],
    pub(crate) gradients: [Point; 2],
}

/// The toy: two valleys for x₂ > 0, two bowls for x₂ < 0. `scale` multiplies the first task (Nash-MTL: 0.1).
pub(crate) struct Toy {
    pub(crate) scale: f64,
}

/// Starts of the CAGrad paper; (0, 0) lies on the kink of both tasks, where nothing moves, and is moved to x₂ = 0.01.
pub(crate) const STARTS: [Point; 5] = [[-8.5, 7.5], [0.0, 0.01], [9.0, 9.0], [-7.5, -0.5], [9.0, -1.0]];

impl Toy {
    /// Below what each task can reach, for rules that need positive losses.
    pub(crate) fn lower_bounds(&self) -> [f64; 2] {
        [-20.0 * self.scale, -20.0]
    }

    pub(crate) fn at(&self, [x, y]: Point) -> Tasks {
        let half = (0.5 * y).tanh();
        let slope = 0.5 * (1.0 - half * half);
        let (upper, upper_slope) = if y > 0.0 { (half, slope) } else { (0.0, 0.0) };
        let (lower, lower_slope) = if y < 0.0 { (-half, -slope) } else { (0.0, 0.0) };
        let t = y.tanh();
        let bend = 1.0 - t * t;
        // log max(|e|, 5e-6) + 6 and its slopes.
        let valley = |e: f64, ex: f64, ey: f64| {
            let inside = e.abs() > 5e-6;
            let over = |slope: f64| if inside { slope / e } else { 0.0 };
            (e.abs().max(5e-6).ln() + 6.0, over(ex), over(ey))
        };
        let bowl = |dx: f64| ((dx * dx + 0.1 * (y + 8.0) * (y + 8.0)) / 10.0 - 20.0, dx / 5.0, 0.02 * (y + 8.0));
        let task = |(v, vx, vy): (f64, f64, f64), (b, bx, by): (f64, f64, f64), scale: f64| {
            let loss = upper * v + lower * b;
            (
                scale * loss,
                [
                    scale * (upper * vx + lower * bx),
                    scale * (upper * vy + upper_slope * v + lower * by + lower_slope * b),
                ],
            )
        };
        let first = task(valley(0.5 * (-x - 7.0) + t, -0.5, bend), bowl(x - 7.0), self.scale);
        let second = task(valley(0.5 * (3.0 - x) - t + 2.0, -0.5, -bend), bowl(x + 7.0), 1.0);
        Tasks { losses: [first.0, second.0], gradients: [first.1, second.1] }
    }

    /// Where the gradients are antiparallel at this x₁: the Pareto curve, near x₂ = −8.36.
    pub(crate) fn front(&self, x: f64) -> f64 {
        let cross = |y: f64| {
            let [a, b] = self.at([x, y]).gradients;
            a[0] * b[1] - a[1] * b[0]
        };
        let (mut low, mut high) = (-9.5, -8.0);
        let sign = cross(low);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if cross(middle) * sign > 0.0 { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    }

    /// Whether a point is within 0.15 of the Pareto curve between the bowls.
    pub(crate) fn in_band(&self, [x, y]: Point) -> bool {
        x.abs() <= 7.15 && (y - self.front(x.clamp(-6.999, 6.999))).abs() <= 0.15
    }

    /// Largest difference between the gradients and central differences over a grid away from the kinks.
    pub(crate) fn gradient_error(&self) -> f64 {
        let mut worst = 0.0_f64;
        for i in 0..40 {
            for j in 0..40 {
                let point = [-9.9 + 0.497 * f64::from(i), -9.9 + 0.497 * f64::from(j)];
                let own = self.at(point).gradients;
                for axis in 0..2 {
                    let (mut ahead, mut behind) = (point, point);
                    ahead[axis] += 1e-6;
                    behind[axis] -= 1e-6;
                    let (ahead, behind) = (self.at(ahead).losses, self.at(behind).losses);
                    for task in 0..2 {
                        let expected = (ahead[task] - behind[task]) / 2e-6;
                        worst = worst.max((own[task][axis] - expected).abs() / (1.0 + expected.abs()));
                    }
                }
            }
        }
        worst
    }
}

/// A pair of tasks with a known Pareto set, and how to descend on it.
pub(crate) struct Pair {
    pub(crate) name: &'static str,
    pub(crate) rate: f64,
    pub(crate) steps: usize,
    pub(crate) starts: [Point; 4],
    pub(crate) forms: [Form; 2],
}

/// One task of a pair.
pub(crate) enum Form {
    /// (x − c)ᵀA(x − c), A symmetric.
    Quadratic([Point; 2], Point),
    /// 1 − exp(−‖x − c‖²).
    Bell(Point),
}

impl Form {
    fn at(&self, x: Point) -> (f64, Point) {
        match self {
            Form::Quadratic(a, c) => {
                let d = [x[0] - c[0], x[1] - c[1]];
                let ad = [a[0][0] * d[0] + a[0][1] * d[1], a[1][0] * d[0] + a[1][1] * d[1]];
                (d[0] * ad[0] + d[1] * ad[1], [2.0 * ad[0], 2.0 * ad[1]])
            }
            Form::Bell(c) => {
                let d = [x[0] - c[0], x[1] - c[1]];
                let height = (-(d[0] * d[0] + d[1] * d[1])).exp();
                (1.0 - height, [2.0 * height * d[0], 2.0 * height * d[1]])
            }
        }
    }
}

impl Pair {
    pub(crate) fn at(&self, x: Point) -> Tasks {
        let [(first, g), (second, h)] = [self.forms[0].at(x), self.forms[1].at(x)];
        Tasks { losses: [first, second], gradients: [g, h] }
    }

    /// Distance to the Pareto set, sampled at 4001 weights: x(w) = (Σ w_i A_i)⁻¹ Σ w_i A_i c_i; between the centres for bells.
    pub(crate) fn distance(&self, x: Point) -> f64 {
        let point = |w: f64| -> Option<Point> {
            match &self.forms {
                [Form::Quadratic(a, p), Form::Quadratic(b, q)] => {
                    let mix = |i: usize, j: usize| (1.0 - w) * a[i][j] + w * b[i][j];
                    let right = |i: usize| {
                        (1.0 - w) * (a[i][0] * p[0] + a[i][1] * p[1]) + w * (b[i][0] * q[0] + b[i][1] * q[1])
                    };
                    let determinant = mix(0, 0) * mix(1, 1) - mix(0, 1) * mix(1, 0);
                    // Singular at the ends of the separable pair, which are limits of what lies between.
                    (determinant.abs() > 1e-12).then(|| {
                        [
                            (mix(1, 1) * right(0) - mix(0, 1) * right(1)) / determinant,
                            (mix(0, 0) * right(1) - mix(1, 0) * right(0)) / determinant,
                        ]
                    })
                }
                [Form::Bell(p), Form::Bell(q)] => Some([(1.0 - w) * p[0] + w * q[0], (1.0 - w) * p[1] + w * q[1]]),
                _ => None,
            }
        };
        (0..=4000)
            .filter_map(|k| point(f64::from(k) / 4000.0))
            .map(|on| (x[0] - on[0]).hypot(x[1] - on[1]))
            .fold(f64::INFINITY, f64::min)
    }
}

/// TorchJD's three pairs at four times its iterations, and Fonseca and Fleming's concave front in two dimensions.
pub(crate) fn pairs() -> [Pair; 4] {
    let bell = 0.5_f64.sqrt();
    [
        Pair {
            name: "separable",
            rate: 0.075,
            steps: 200,
            starts: [[3.0, -2.0], [-3.5, -0.75], [0.2, 4.0], [-1.0, 1.0]],
            forms: [
                Form::Quadratic([[1.0, 0.0], [0.0, 0.0]], [0.0, 0.0]),
                Form::Quadratic([[0.0, 0.0], [0.0, 1.0]], [0.0, 0.0]),
            ],
        },
        Pair {
            name: "different",
            rate: 0.125,
            steps: 800,
            starts: [[3.0, -2.0], [0.0, 0.0], [-2.0, 3.0], [1.0, 5.0]],
            forms: [
                Form::Quadratic([[1.0, 0.2], [0.2, 0.05]], [1.0, 0.0]),
                Form::Quadratic([[3.0, -0.6], [-0.6, 0.2]], [-1.0, 0.0]),
            ],
        },
        Pair {
            name: "scaled",
            rate: 0.005,
            steps: 400,
            starts: [[8.0, -2.0], [0.0, 3.0], [-12.0, -4.0], [2.0, 9.0]],
            forms: [
                Form::Quadratic([[2.0, -1.0], [-1.0, 2.0]], [1.0, 0.0]),
                Form::Quadratic([[20.0, -10.0], [-10.0, 20.0]], [-10.0, 0.0]),
            ],
        },
        Pair {
            name: "bells",
            rate: 0.05,
            steps: 2000,
            starts: [[1.2, -0.6], [-1.3, 0.4], [0.9, 1.1], [-0.2, -1.0]],
            forms: [Form::Bell([bell, bell]), Form::Bell([-bell, -bell])],
        },
    ]
}
