//! Filters and sorts records for a search.

use crate::tracking::compare::Found;
use crate::tracking::error::Result;
use crate::tracking::filter::{self, Comparison, Field};

/// Keeps the records that match every comparison.
pub(super) fn keep<T>(
    records: Vec<T>,
    filter: &[Comparison],
    find: impl Fn(&T, &Field) -> Result<Option<Found>>,
) -> Result<Vec<T>> {
    let mut kept = Vec::new();
    'records: for record in records {
        for comparison in filter {
            if !comparison.holds(find(&record, &comparison.field)?)? {
                continue 'records;
            }
        }
        kept.push(record);
    }
    Ok(kept)
}

/// Sorts records by `order_by`. The sort is stable, so equal records keep their order. Missing values are last.
pub(super) fn sort<T>(
    records: &mut [T],
    order_by: &[&str],
    find: impl Fn(&T, &Field) -> Result<Option<Found>>,
) -> Result<()> {
    use std::cmp::Ordering;
    filter::check_orders(order_by)?;
    for text in order_by.iter().rev() {
        let order = filter::parse_order(text)?;
        let mut failed = None;
        let mut value = |record: &T| {
            find(record, &order.field).unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        };
        records.sort_by(|a, b| {
            let ordering = match (value(a), value(b)) {
                (None, None) => return Ordering::Equal,
                (None, Some(_)) => return Ordering::Greater,
                (Some(_), None) => return Ordering::Less,
                (Some(Found::Number(a)), Some(Found::Number(b))) => a.total_cmp(&b),
                (Some(Found::Text(a)), Some(Found::Text(b))) => a.cmp(&b),
                _ => Ordering::Equal,
            };
            if order.descending { ordering.reverse() } else { ordering }
        });
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(())
}
