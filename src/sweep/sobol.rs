//! A Sobol sequence with Owen's scrambling: evenly spread, and different for each seed.
//!
//! Scrambling keeps the property that makes the sequence useful: the first 2^k trials have one value in each of 2^k
//! equal parts of each parameter's range. It also removes the first point's zeros, at which a normal distribution would be
//! infinite.

use sobol_burley::NUM_DIMENSIONS;
use sobol_burley::parts::{owen_scramble_rev, sobol_rev};

use super::space::SearchSpace;
use super::stream::Stream;

/// The sequence has this many points, far more than a sweep has trials.
const POINTS: usize = 1 << 16;

/// The positions of a trial. Parameters and trials that are more than the sequence has are drawn at random.
pub(super) fn positions(space: &SearchSpace, seed: u64, index: usize) -> Vec<f64> {
    let parameters = space.parameters();
    let numbers = parameters.iter().zip(0..);
    numbers
        .map(|(parameter, dimension)| {
            if index >= POINTS || dimension >= NUM_DIMENSIONS {
                return Stream::new(seed, index, &parameter.path).uniform();
            }
            let scramble = Stream::new(seed, 0, &format!("sobol {}", parameter.path)).bits();
            #[expect(clippy::cast_possible_truncation, reason = "any 32 of the bits, and an index below POINTS")]
            let (index, scramble) = (index as u32, scramble as u32);
            let bits = owen_scramble_rev(point(index, dimension), scramble).reverse_bits();
            (f64::from(bits) + 0.5) / 2f64.powi(32)
        })
        .collect()
}

/// A coordinate of a point of the plain sequence, with its bits in reverse order.
fn point(index: u32, dimension: u32) -> u32 {
    sobol_rev(index.reverse_bits(), dimension)
}

#[cfg(test)]
mod tests {
    use super::super::{Distribution, random};
    use super::*;

    fn space(parameters: usize) -> SearchSpace {
        let unit = Distribution::Uniform { min: 0.0, max: 1.0 };
        SearchSpace((0..parameters).map(|number| (format!("p{number}"), unit.clone())).collect())
    }

    #[test]
    fn the_plain_sequence_begins_as_in_the_literature() {
        let coordinate = |index, dimension| f64::from(point(index, dimension).reverse_bits()) / 2f64.powi(32);
        let first: Vec<[f64; 2]> = (0..8).map(|index| [coordinate(index, 0), coordinate(index, 1)]).collect();
        let expected = [
            [0.0, 0.0],
            [0.5, 0.5],
            [0.25, 0.75],
            [0.75, 0.25],
            [0.125, 0.625],
            [0.625, 0.125],
            [0.375, 0.375],
            [0.875, 0.875],
        ];
        assert_eq!(first, expected);
    }

    #[test]
    fn the_first_points_for_a_seed_never_change() {
        let first: Vec<Vec<f64>> = (0..4).map(|index| positions(&space(2), 42, index)).collect();
        let expected = [
            [0.06447248405311257, 0.6654102621832862],
            [0.9240259156795219, 0.08908290939871222],
            [0.38203911564778537, 0.33496196928899735],
            [0.6682146765524521, 0.9420570271322504],
        ];
        assert_eq!(first, expected);
    }

    #[test]
    fn equal_parts_have_a_point_each() {
        for (seed, parameters) in [(0, 1), (1, 3), (7, 10)] {
            let points: Vec<Vec<f64>> = (0..64).map(|index| positions(&space(parameters), seed, index)).collect();
            for dimension in 0..parameters {
                let mut parts: Vec<u32> = points.iter().map(|point| (point[dimension] * 64.0) as u32).collect();
                parts.sort_unstable();
                assert_eq!(parts, (0..64).collect::<Vec<_>>(), "dimension {dimension} of seed {seed}");
            }
        }
    }

    /// The centred discrepancy (Hickernell, 1998): 0 for perfectly even points.
    fn discrepancy(points: &[Vec<f64>]) -> f64 {
        let count = points.len() as f64;
        let far = |x: f64| (x - 0.5).abs();
        let single: f64 =
            points.iter().map(|p| p.iter().map(|x| 1.0 + 0.5 * far(*x) - 0.5 * far(*x).powi(2)).product::<f64>()).sum();
        let pair = |p: &[f64], q: &[f64]| -> f64 {
            p.iter().zip(q).map(|(x, y)| 1.0 + 0.5 * far(*x) + 0.5 * far(*y) - 0.5 * (x - y).abs()).product()
        };
        let double: f64 = points.iter().flat_map(|p| points.iter().map(|q| pair(p, q))).sum();
        let dimensions = points[0].len() as i32;
        ((13.0_f64 / 12.0).powi(dimensions) - 2.0 / count * single + double / count.powi(2)).sqrt()
    }

    #[test]
    fn points_are_more_even_than_random_ones() {
        for seed in 0..10 {
            let space = space(4);
            let points = |of: fn(&SearchSpace, u64, usize) -> Vec<f64>| -> Vec<Vec<f64>> {
                (0..100).map(|index| of(&space, seed, index)).collect()
            };
            let (even, uneven) = (discrepancy(&points(positions)), discrepancy(&points(random::positions)));
            assert!(even < uneven / 1.5, "seed {seed}: {even} and {uneven}");
        }
    }

    #[test]
    fn what_the_sequence_does_not_have_is_random() {
        let many = positions(&space(300), 1, 0);
        assert!(many.len() == 300 && many.iter().all(|position| 0.0 < *position && *position < 1.0));
        assert_eq!(positions(&space(2), 1, POINTS), random::positions(&space(2), 1, POINTS));
    }
}
