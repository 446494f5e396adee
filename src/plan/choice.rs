//! A part of a plan: `--only`, `--from`, `--until`.
//!
//! A step that is left out must not be needed by one that is taken, unless an earlier result can be reused. That is
//! found out later, so the choice only says which steps are to run and which must have a result already.

use std::collections::HashSet;

use super::Plan;
use crate::diagnostic::suggest;

/// Which steps a person wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// These alone.
    pub only: Vec<String>,
    /// These and everything that needs them.
    pub from: Vec<String>,
    /// These and everything that they need.
    pub until: Vec<String>,
}

impl Choice {
    /// Which steps of a plan are wanted, by index. The name of a nested pipeline selects all of its steps.
    ///
    /// # Errors
    /// A sentence, when a name is no step of the plan.
    pub fn steps(&self, plan: &Plan) -> Result<Vec<bool>, String> {
        let mut wanted = vec![true; plan.steps.len()];
        if !self.only.is_empty() {
            let only = named(&self.only, plan)?;
            wanted = (0..plan.steps.len()).map(|step| only.contains(&step)).collect();
        }
        if !self.from.is_empty() {
            let mut after = named(&self.from, plan)?;
            // Steps come after those that they need.
            for (step, facts) in plan.steps.iter().enumerate() {
                if facts.needs.iter().any(|need| after.contains(need)) {
                    after.insert(step);
                }
            }
            wanted.iter_mut().enumerate().for_each(|(step, w)| *w &= after.contains(&step));
        }
        if !self.until.is_empty() {
            let mut before = named(&self.until, plan)?;
            for (step, facts) in plan.steps.iter().enumerate().rev() {
                if before.contains(&step) {
                    before.extend(&facts.needs);
                }
            }
            wanted.iter_mut().enumerate().for_each(|(step, w)| *w &= before.contains(&step));
        }
        Ok(wanted)
    }
}

/// The steps that names select.
///
/// # Errors
/// A sentence with the nearest name, when one is no step.
pub fn named(names: &[String], plan: &Plan) -> Result<HashSet<usize>, String> {
    let mut all = HashSet::new();
    for name in names {
        let inside = format!("{name}.");
        let before = all.len();
        let steps = plan.steps.iter().enumerate();
        all.extend(steps.filter(|(_, s)| s.path == *name || s.path.starts_with(&inside)).map(|(index, _)| index));
        let known = plan.steps.iter().any(|s| s.path == *name || s.path.starts_with(&inside));
        if all.len() == before && !known {
            let names = || plan.steps.iter().map(|s| s.path.as_str());
            return Err(match suggest::nearest(name, names()) {
                Some(near) => format!("the step '{name}' does not exist; did you mean '{near}'?"),
                None => {
                    let some: Vec<&str> = names().take(20).collect();
                    format!("the step '{name}' does not exist; the steps are: {}", some.join(", "))
                }
            });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::chain;

    fn chosen(choice: &Choice) -> Vec<bool> {
        choice.steps(&chain(4)).unwrap()
    }

    #[test]
    fn from_takes_what_comes_after_and_until_what_comes_before() {
        let one = |name: &str| vec![name.to_owned()];
        assert_eq!(chosen(&Choice { from: one("s2"), ..Choice::default() }), [false, false, true, true]);
        assert_eq!(chosen(&Choice { until: one("s1"), ..Choice::default() }), [true, true, false, false]);
        assert_eq!(chosen(&Choice { only: one("s1"), ..Choice::default() }), [false, true, false, false]);
        let both = Choice { from: one("s1"), until: one("s2"), ..Choice::default() };
        assert_eq!(chosen(&both), [false, true, true, false]);
    }

    #[test]
    fn a_name_that_is_no_step_is_told_with_the_nearest() {
        let choice = Choice { only: vec!["s10x".to_owned()], ..Choice::default() };
        assert!(choice.steps(&chain(12)).unwrap_err().contains("did you mean 's10'"));
    }
}
