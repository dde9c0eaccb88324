//! THE list of goals: what a figure must be and what it should become, and whether it is.

use std::collections::BTreeMap;

/// Who was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The simulator itself, without anything between.
    Direct,
    /// nginx.
    Floor,
    /// The gateway's HTTP without the gateway.
    Relay,
    /// Yumen.
    Gateway,
}

/// What the gateway's figure is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versus {
    /// Divided by nginx's figure of the same rounds.
    Ratio,
    /// Minus nginx's figure of the same rounds.
    Difference,
    /// Minus the gateway's own figure in another case of the same rounds.
    Case(&'static str),
    /// Taken as it is.
    Nothing,
}

/// One goal.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// What readers see.
    pub name: &'static str,
    /// Which case measures it.
    pub case: &'static str,
    /// Which of the case's figures it is.
    pub figure: &'static str,
    /// The unit of the figure.
    pub unit: &'static str,
    /// What it is compared with.
    pub versus: Versus,
    /// Whether more is better.
    pub more_is_better: bool,
    /// What the compared figure must be.
    pub must: f64,
    /// What it should become.
    pub stretch: Option<f64>,
}

#[rustfmt::skip]
/// Every goal, in the order of the report.
pub const GOALS: &[Goal] = &[
    ratio("CPU per request, 1 KB, 64 connections", "c1k", "µs", 1.25, 1.0),
    Goal { figure: "rate", more_is_better: true, ..ratio("requests per second, 64 connections", "c1k", "1/s", 0.85, 1.0) },
    ratio("CPU per request, upstream of 60 ms", "l60", "µs", 1.1, 0.9),
    ratio("CPU per request, 100 KB", "c100k", "µs", 1.75, 1.25),
    Goal { versus: Versus::Case("c100k"), stretch: None, ..ratio("CPU that a signature (hmac-v1) adds to 100 KB", "c100k-signed", "µs", 60.0, 0.0) },
    ratio("CPU per event, paced", "sse-paced", "µs", 1.1, 1.0),
    ratio("CPU per event, burst", "sse-burst", "µs", 1.1, 1.0),
    ratio("CPU per translated event, paced", "translated-paced", "µs", 1.5, 1.25),
    ratio("CPU per translated event, burst", "translated-burst", "µs", 1.5, 1.25),
    Goal { figure: "p50", versus: Versus::Difference, ..ratio("p50 at 200 requests/s, added to nginx", "open200", "µs", 20.0, 0.0) },
    Goal { stretch: Some(16.0), ..absolute("memory per open stream", "hold2000", "kilobytes", "KB", 32.0) },
    Goal { stretch: Some(45.0), ..absolute("RSS with 2,000 open streams", "hold2000", "rss", "MB", 80.0) },
    Goal { stretch: Some(12.0), ..absolute("PSS idle, 10,000 keys", "memory", "pss", "MB", 25.0) },
    absolute("RSS 60 s after load ÷ RSS idle", "memory", "growth", "×", 1.3),
    Goal { stretch: Some(30.0), ..absolute("start to first answer, 10,000 keys", "start", "milliseconds", "ms", 100.0) },
    absolute("busiest worker ÷ fair share, 2 connections", "balance-c2", "unevenness", "×", 1.3),
    absolute("busiest worker ÷ fair share, 8 connections", "balance-c8", "unevenness", "×", 1.3),
];

const fn ratio(name: &'static str, case: &'static str, unit: &'static str, must: f64, stretch: f64) -> Goal {
    Goal {
        name,
        case,
        figure: "cpu",
        unit,
        versus: Versus::Ratio,
        more_is_better: false,
        must,
        stretch: Some(stretch),
    }
}

const fn absolute(
    name: &'static str,
    case: &'static str,
    figure: &'static str,
    unit: &'static str,
    must: f64,
) -> Goal {
    Goal { name, case, figure, unit, versus: Versus::Nothing, more_is_better: false, must, stretch: None }
}

/// The figures of all rounds.
#[derive(Debug, Default)]
pub struct Figures {
    rounds: BTreeMap<(&'static str, Target, &'static str), Vec<f64>>,
    /// Why a figure is missing.
    pub void: Vec<String>,
    /// What a reader should know beside the figures.
    pub notes: Vec<String>,
}

impl Figures {
    /// Adds the figure of one round.
    pub fn add(&mut self, case: &'static str, target: Target, figure: &'static str, value: f64) {
        self.rounds.entry((case, target, figure)).or_default().push(value);
    }

    /// Takes away what a case found for a target: one bad answer makes all of its rounds doubtful.
    pub fn annul(&mut self, case: &'static str, target: Target, reason: &anyhow::Error) {
        self.rounds.retain(|(of, whom, _), _| (*of, *whom) != (case, target));
        self.void.push(format!("{case}, {target:?}: {reason:#}"));
    }

    /// The median over the rounds.
    #[must_use]
    pub fn median(&self, case: &'static str, target: Target, figure: &'static str) -> Option<f64> {
        let mut values = self.rounds.get(&(case, target, figure))?.clone();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        if values.len() % 2 == 1 {
            Some(values[middle])
        } else {
            Some(f64::midpoint(values[middle - 1], values[middle]))
        }
    }
}

/// How a goal was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Better than asked.
    Stretch,
    /// As asked.
    Met,
    /// Worse than asked.
    Missed,
    /// Measured, but a bad answer made the figure worthless.
    Void,
}

/// A goal with its figures.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The goal.
    pub goal: Goal,
    /// The gateway's median.
    pub gateway: Option<f64>,
    /// nginx's median.
    pub floor: Option<f64>,
    /// What is compared with the goal.
    pub compared: Option<f64>,
    /// How it was met.
    pub verdict: Verdict,
}

impl Goal {
    /// Compares the figures with this goal.
    #[must_use]
    pub fn judge(&self, figures: &Figures) -> Outcome {
        let gateway = figures.median(self.case, Target::Gateway, self.figure);
        let floor = figures.median(self.case, Target::Floor, self.figure);
        let compared = match self.versus {
            Versus::Nothing => gateway,
            Versus::Ratio => gateway.zip(floor).map(|(gateway, floor)| gateway / floor),
            Versus::Difference => gateway.zip(floor).map(|(gateway, floor)| gateway - floor),
            Versus::Case(other) => {
                let other = figures.median(other, Target::Gateway, self.figure);
                gateway.zip(other).map(|(gateway, other)| gateway - other)
            }
        };
        let reaches = |value: f64, goal: f64| {
            if self.more_is_better { value >= goal } else { value <= goal }
        };
        let verdict = match compared {
            None => Verdict::Void,
            Some(value) if self.stretch.is_some_and(|stretch| reaches(value, stretch)) => Verdict::Stretch,
            Some(value) if reaches(value, self.must) => Verdict::Met,
            Some(_) => Verdict::Missed,
        };
        Outcome { goal: *self, gateway, floor, compared, verdict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::CASES;

    #[test]
    fn every_goal_names_a_case() {
        for goal in GOALS {
            assert!(CASES.iter().any(|case| case.name == goal.case), "{}", goal.name);
            if let Versus::Case(other) = goal.versus {
                assert!(CASES.iter().any(|case| case.name == other), "{}", goal.name);
            }
        }
    }

    #[test]
    fn judges_what_one_case_costs_more_than_another() {
        let goal = GOALS.iter().find(|goal| goal.case == "c100k-signed").unwrap();
        let mut figures = Figures::default();
        figures.add("c100k-signed", Target::Gateway, "cpu", 150.0);
        assert_eq!(goal.judge(&figures).verdict, Verdict::Void, "there is nothing to compare with");
        figures.add("c100k", Target::Gateway, "cpu", 100.0);
        let outcome = goal.judge(&figures);
        assert_eq!((outcome.compared, outcome.verdict), (Some(50.0), Verdict::Met));
        figures.add("c100k", Target::Gateway, "cpu", 40.0);
        assert_eq!(goal.judge(&figures).verdict, Verdict::Missed);
    }

    #[test]
    fn judges_ratios_by_medians_and_voids_what_is_missing() {
        let mut figures = Figures::default();
        for (gateway, floor) in [(12.0, 10.0), (99.0, 10.0), (11.0, 10.0)] {
            figures.add("c1k", Target::Gateway, "cpu", gateway);
            figures.add("c1k", Target::Floor, "cpu", floor);
        }
        let outcome = GOALS[0].judge(&figures);
        assert_eq!((outcome.compared, outcome.verdict), (Some(1.2), Verdict::Met));
        figures.annul("c1k", Target::Gateway, &anyhow::anyhow!("an answer was cut"));
        assert_eq!(GOALS[0].judge(&figures).verdict, Verdict::Void);
        assert_eq!(figures.void.len(), 1);
    }
}
