//! The standard normal distribution.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// The density.
pub(super) fn density(x: f64) -> f64 {
    libm::exp(-x * x / 2.0) / (2.0 * PI).sqrt()
}

/// The probability of a value up to `x`.
pub(super) fn cumulative(x: f64) -> f64 {
    libm::erfc(-x * FRAC_1_SQRT_2) / 2.0
}

/// The value that has the probability `u` below it, for `u` between 0 and 1.
pub(super) fn quantile(u: f64) -> f64 {
    if u > 0.5 {
        return -quantile(1.0 - u);
    }
    // Newton's method for ln(cumulative(x)) = ln(u). The logarithm is concave, so that each step from the left of the
    // solution ends at its left again and nearer, and the start is at its left because cumulative(x) < exp(-x²/2).
    let goal = libm::log(u);
    let mut x = -(-2.0 * goal).sqrt();
    for _ in 0..50 {
        let below = cumulative(x);
        let step = (goal - libm::log(below)) * below / density(x);
        x += step;
        if step.abs() <= 1e-15 * x.abs().max(1e-15) {
            break;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_tables() {
        for (u, x) in [
            (0.5, 0.0),
            (0.975, 1.959_963_984_540_054),
            (0.05, -1.644_853_626_951_472_2),
            (0.999, 3.090_232_306_167_813_5),
            (1e-10, -6.361_340_902_404_056),
            (2f64.powi(-53), -8.209_536_151_601_387),
        ] {
            assert!((quantile(u) - x).abs() < 1e-13, "{u}: {} and not {x}", quantile(u));
        }
    }

    proptest::proptest! {
        #[test]
        fn quantile_is_the_inverse(u in 1e-15..(1.0 - 1e-15)) {
            proptest::prop_assert!((cumulative(quantile(u)) - u).abs() < 1e-15 + 1e-14 * u);
        }
    }
}
