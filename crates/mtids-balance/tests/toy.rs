//! Claims about the two-task toy that `examples/balance_toy` runs in full: exact gradients, where plain sums stay, that DD-GB arrives.

#[path = "../examples/balance_toy/problem.rs"]
#[allow(dead_code, reason = "the test uses a part of the example")]
mod problem;
#[path = "../examples/balance_toy/run.rs"]
#[allow(dead_code, reason = "the test uses a part of the example")]
mod run;

use mtids_balance::{BalancerConfig, DdGbConfig};
use problem::{Point, Toy};
use run::{Method, toy};

fn walk(config: BalancerConfig, problem: &Toy, start: usize) -> (Option<usize>, Point) {
    let method = Method { label: String::new(), config, with_losses: false };
    let path = toy(&method, problem, start, 60_000).expect("the rule takes the input");
    (path.reached, path.end)
}

fn near(found: Point, expected: Point, reach: f64) -> bool {
    (found[0] - expected[0]).hypot(found[1] - expected[1]) < reach
}

#[test]
fn gradients_are_the_slopes_of_the_losses() {
    for scale in [0.1, 1.0] {
        let error = Toy { scale }.gradient_error();
        assert!(error < 1e-4, "{error}");
    }
}

#[test]
fn the_front_is_bent() {
    // Solved independently for the design notes.
    for (x, y) in [(0.0, -8.3551), (3.0, -8.3705), (-5.0, -8.3969), (6.9999, -8.4345)] {
        let found = Toy { scale: 0.1 }.front(x);
        assert!((found - y).abs() < 2e-4, "{x}: {found}");
    }
}

#[test]
fn the_plain_sum_stays_in_the_valleys_where_dd_gb_reaches_the_front() {
    let (scaled, plain) = (Toy { scale: 0.1 }, Toy { scale: 1.0 });
    // From (9, 9) with and without the factor, and from (−8.5, 7.5) without it.
    for (problem, start, stuck) in [(&scaled, 2, [5.01, 3.86]), (&plain, 2, [5.02, 2.72]), (&plain, 0, [-5.04, 2.48])] {
        let (reached, end) = walk(BalancerConfig::EqualSum {}, problem, start);
        assert!(reached.is_none() && near(end, stuck, 0.1), "{end:?}, expected {stuck:?}");
        let (reached, end) = walk(BalancerConfig::DdGb(DdGbConfig::default()), problem, start);
        assert!(reached.is_some() && problem.in_band(end), "{end:?}");
    }
    let (reached, end) = walk(BalancerConfig::DdGb(DdGbConfig::default()), &scaled, 0);
    assert!(reached.is_some() && scaled.in_band(end), "{end:?}");
}
