//! Gaussian process regression: from some points with values, the mean and the uncertainty at every other point.
//!
//! The covariance is Matérn's with ν = 5/2 and one length scale for each group of coordinates. Lengths and noise are those
//! of the largest likelihood, with a prior that keeps them ordinary while there are few points.

/// The prior: usual values, and by how many e-fold they differ from case to case. Coordinates are between 0 and 1, and
/// the usual length grows with the root of their number, as distances do.
const USUAL_LENGTH: f64 = 0.5;
const LENGTH_DEVIATION: f64 = 1.0;
/// The logarithm of the noise's part of the variance.
const USUAL_NOISE: f64 = -9.0;
const NOISE_DEVIATION: f64 = 3.0;

/// The search for the largest likelihood ends after about this many regressions.
const EVALUATIONS: usize = 150;

/// A regression.
pub(super) struct Process {
    points: Vec<Vec<f64>>,
    /// One over the length scale, for each coordinate.
    rates: Vec<f64>,
    noise: f64,
    mean: f64,
    variance: f64,
    /// The lower triangle of the Cholesky factor of the covariances, by rows.
    factor: Vec<Vec<f64>>,
    /// The values without the mean, solved by the factor.
    residuals: Vec<f64>,
}

/// Length scales and noise, as logarithms.
#[derive(Clone)]
struct Parameters {
    lengths: Vec<f64>,
    noise: f64,
}

impl Process {
    /// The regression through some points. `groups` has the group of each coordinate, counted from 0.
    pub(super) fn fit(points: &[Vec<f64>], values: &[f64], groups: &[usize]) -> Option<Self> {
        let count = groups.iter().max().map_or(0, |last| last + 1);
        let usual = libm::log(USUAL_LENGTH * (count.max(1) as f64).sqrt());
        let fitted = |parameters: &Parameters| {
            let rates: Vec<f64> = groups.iter().map(|group| libm::exp(-parameters.lengths[*group])).collect();
            let noise = libm::exp(parameters.noise);
            let process = Self::with(points.to_vec(), values, rates, noise, None)?;
            let spread = |value: f64, usual: f64, deviation: f64| ((value - usual) / deviation).powi(2) / 2.0;
            let prior: f64 =
                parameters.lengths.iter().map(|length| spread(*length, usual, LENGTH_DEVIATION)).sum::<f64>()
                    + spread(parameters.noise, USUAL_NOISE, NOISE_DEVIATION);
            Some((process.log_likelihood() - prior, process))
        };
        let mut parameters = Parameters { lengths: vec![usual; count], noise: USUAL_NOISE };
        let mut best = fitted(&parameters)?;
        // A pattern search: a step along each axis at a time, and shorter steps when none helps.
        let mut step = 1.0;
        let mut left = EVALUATIONS;
        while step > 0.1 && left > 0 {
            let mut is_better = false;
            for axis in 0..=count {
                for sign in [1.0, -1.0] {
                    let mut other = parameters.clone();
                    match other.lengths.get_mut(axis) {
                        Some(length) => *length += sign * step,
                        None => other.noise += 2.0 * sign * step,
                    }
                    left = left.saturating_sub(1);
                    if let Some(found) = fitted(&other).filter(|found| found.0 > best.0) {
                        (best, parameters, is_better) = (found, other, true);
                        break;
                    }
                }
            }
            if !is_better {
                step /= 2.0;
            }
        }
        Some(best.1)
    }

    /// The regression with more points, whose values are what it expects there. Its mean stays, and it becomes certain
    /// near these points.
    pub(super) fn believing(self, more: Vec<Vec<f64>>) -> Option<Self> {
        let mut values: Vec<f64> = self.observed();
        values.extend(more.iter().map(|point| self.predict(point).0));
        let points = self.points.into_iter().chain(more).collect();
        Self::with(points, &values, self.rates, self.noise, Some((self.mean, self.variance)))
    }

    /// The mean and the standard deviation at a point.
    pub(super) fn predict(&self, point: &[f64]) -> (f64, f64) {
        let covariances: Vec<f64> = self.points.iter().map(|other| covariance(&self.rates, point, other)).collect();
        let solved = solve(&self.factor, &covariances);
        let variance = self.variance * (1.0 - dot(&solved, &solved)).max(1e-12);
        (self.mean + dot(&solved, &self.residuals), variance.sqrt())
    }

    /// `known` are the mean and the variance; without them they are the most probable.
    fn with(
        points: Vec<Vec<f64>>,
        values: &[f64],
        rates: Vec<f64>,
        noise: f64,
        known: Option<(f64, f64)>,
    ) -> Option<Self> {
        let factor = cholesky(&points, &rates, noise)?;
        let ones = solve(&factor, &vec![1.0; values.len()]);
        let solved = solve(&factor, values);
        let mean = known.map_or_else(|| dot(&ones, &solved) / dot(&ones, &ones), |known| known.0);
        let residuals: Vec<f64> = solved.iter().zip(&ones).map(|(value, one)| value - mean * one).collect();
        // A variance of 0 would be certain about everything.
        let variance = known.map_or_else(|| dot(&residuals, &residuals) / values.len() as f64 + 1e-9, |known| known.1);
        Some(Self { points, rates, noise, mean, variance, factor, residuals })
    }

    fn log_likelihood(&self) -> f64 {
        let determinant: f64 =
            self.factor.iter().filter_map(|row| row.last()).map(|diagonal| libm::log(*diagonal)).sum();
        -(self.points.len() as f64) / 2.0 * libm::log(self.variance) - determinant
    }

    /// The values at the points.
    fn observed(&self) -> Vec<f64> {
        self.factor.iter().map(|row| dot(row, &self.residuals) + self.mean).collect()
    }
}

/// Matérn's covariance of two points, for a variance of 1.
fn covariance(rates: &[f64], a: &[f64], b: &[f64]) -> f64 {
    let squares: f64 = a.iter().zip(b).zip(rates).map(|((a, b), rate)| ((a - b) * rate).powi(2)).sum();
    let distance = (5.0 * squares).sqrt();
    (1.0 + distance + distance * distance / 3.0) * libm::exp(-distance)
}

/// The Cholesky factor of the covariances. `None` if rounding makes it impossible.
fn cholesky(points: &[Vec<f64>], rates: &[f64], noise: f64) -> Option<Vec<Vec<f64>>> {
    let mut factor: Vec<Vec<f64>> = Vec::with_capacity(points.len());
    for (number, point) in points.iter().enumerate() {
        let covariances: Vec<f64> = points[..number].iter().map(|other| covariance(rates, point, other)).collect();
        let mut row = solve(&factor, &covariances);
        let rest = 1.0 + noise - dot(&row, &row);
        if rest.is_nan() || rest <= 0.0 {
            return None;
        }
        row.push(rest.sqrt());
        factor.push(row);
    }
    Some(factor)
}

/// Solves for the vector that the lower triangle takes to this one.
fn solve(factor: &[Vec<f64>], vector: &[f64]) -> Vec<f64> {
    let mut solved = Vec::with_capacity(vector.len());
    for (row, value) in factor.iter().zip(vector) {
        let diagonal = row.last().copied().unwrap_or(1.0);
        solved.push((value - dot(row, &solved)) / diagonal);
    }
    solved
}

/// The sum of products, as long as the shorter of the two.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(x: f64, y: f64) -> f64 {
        (6.0 * x).sin() + 0.01 * y
    }

    /// A regression through the points of a lattice.
    fn lattice(count: u32) -> Process {
        let coordinate = |number: u32| f64::from(number) / f64::from(count - 1);
        let points: Vec<Vec<f64>> =
            (0..count * count).map(|number| vec![coordinate(number / count), coordinate(number % count)]).collect();
        let values: Vec<f64> = points.iter().map(|point| wave(point[0], point[1])).collect();
        Process::fit(&points, &values, &[0, 1]).unwrap()
    }

    #[test]
    fn smooth_functions_are_learned_from_few_points() {
        let process = lattice(6);
        for place in [[0.1, 0.1], [0.33, 0.5], [0.5, 0.9], [0.95, 0.05]] {
            let (mean, deviation) = process.predict(&place);
            let error = (mean - wave(place[0], place[1])).abs();
            assert!(error < 0.05 && error < 4.0 * deviation + 0.01, "{place:?}: {mean} ± {deviation}, off by {error}");
        }
        // What matters more has the shorter length scale.
        assert!(process.rates[0] > 2.0 * process.rates[1], "{:?}", process.rates);
    }

    #[test]
    fn uncertainty_grows_with_the_distance_from_the_points() {
        let points = [vec![0.0], vec![0.1], vec![0.3]];
        let process = Process::fit(&points, &[0.0, 1.0, 0.5], &[0]).unwrap();
        let deviations: Vec<f64> = [0.1, 0.4, 0.6, 1.0].iter().map(|x| process.predict(&[*x]).1).collect();
        assert!(deviations.windows(2).all(|pair| pair[0] < pair[1]), "{deviations:?}");
    }

    #[test]
    fn believing_changes_no_mean_and_takes_the_uncertainty() {
        let more = vec![vec![0.52, 0.47], vec![0.71, 0.13]];
        let (before, after) = (lattice(4), lattice(4).believing(more.clone()).unwrap());
        for place in &more {
            assert!((before.predict(place).0 - after.predict(place).0).abs() < 1e-6);
            assert!(after.predict(place).1 < before.predict(place).1 / 2.0);
        }
        let (expected, found) = (before.predict(&[0.9, 0.6]).0, after.predict(&[0.9, 0.6]).0);
        assert!((expected - found).abs() < 1e-6, "{expected} {found}");
    }

    #[test]
    fn equal_points_and_equal_values_are_no_problem() {
        let same = vec![vec![0.5, 0.5]; 5];
        let process = Process::fit(&same, &[1.0; 5], &[0, 1]).unwrap();
        assert!((process.predict(&[0.5, 0.5]).0 - 1.0).abs() < 1e-6);
        assert!(Process::fit(&same, &[1.0, 2.0, 3.0, 2.0, 1.0], &[0, 1]).is_some());
        assert!(Process::fit(&[vec![], vec![]], &[1.0, 2.0], &[]).is_some());
    }
}
