//! This module prints medians, spreads and ratios of the measurements.

use std::fmt;

use crate::entry::NAMES;
use crate::load::Shape;

/// One entry at one load in one round.
pub(crate) struct Line {
    pub(crate) entry: &'static str,
    pub(crate) shape: Shape,
    /// Microseconds of the proxy's process per call.
    pub(crate) cpu: f64,
    /// Calls per second.
    pub(crate) rate: f64,
    /// Microseconds.
    pub(crate) p50: f64,
    /// Microseconds.
    pub(crate) p99: f64,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entry, shape, cpu, rate, p50, p99 } = self;
        write!(f, "{shape}\t{entry}\tcpu_us {cpu:.2}\tper_s {rate:.0}\tp50_us {p50:.1}\tp99_us {p99:.1}")
    }
}

/// All of them, in the order of the rounds.
#[derive(Default)]
pub(crate) struct Table(Vec<Line>);

impl Table {
    pub(crate) fn add(&mut self, line: Line) {
        self.0.push(line);
    }

    fn of(&self, shape: Shape, entry: &str, value: fn(&Line) -> f64) -> Vec<f64> {
        self.0.iter().filter(|line| line.shape == shape && line.entry == entry).map(value).collect()
    }

    /// Chapar's figure over another's, round by round.
    fn ratio(&self, shape: Shape, other: &str, value: fn(&Line) -> f64) -> Option<Spread> {
        let pairs = self.of(shape, "chapar", value).into_iter().zip(self.of(shape, other, value));
        Spread::of(pairs.map(|(ours, theirs)| ours / theirs).collect())
    }

    fn section(
        &self,
        f: &mut fmt::Formatter<'_>,
        title: &str,
        cell: impl Fn(Shape, &str) -> Option<String>,
    ) -> fmt::Result {
        let present: Vec<&str> =
            NAMES.into_iter().filter(|name| self.0.iter().any(|line| line.entry == *name)).collect();
        writeln!(
            f,
            "{title}\n\n| in flight | {} |\n|---|{}",
            present.join(" | "),
            "--:|".repeat(present.len())
        )?;
        for shape in Shape::ALL.into_iter().filter(|shape| self.0.iter().any(|line| line.shape == *shape)) {
            write!(f, "| {shape} |")?;
            for name in &present {
                write!(f, " {} |", cell(shape, name).unwrap_or_else(|| "–".to_owned()))?;
            }
            writeln!(f)?;
        }
        writeln!(f)
    }
}

/// The median of some rounds, and the lowest and highest.
struct Spread {
    median: f64,
    low: f64,
    high: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let median = *values.get(values.len() / 2)?;
        Some(Self { median, low: *values.first()?, high: *values.last()? })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |value: fn(&Line) -> f64| {
            move |shape: Shape, name: &str| {
                let spread = Spread::of(self.of(shape, name, value))?;
                Some(format!("{:.0} ({:.0}–{:.0})", spread.median, spread.low, spread.high))
            }
        };
        self.section(
            f,
            "CPU-µs per call of the proxy's process (direct: of generator and upstream)",
            plain(|l| l.cpu),
        )?;
        self.section(f, "Calls per second", plain(|l| l.rate))?;
        self.section(f, "p50, µs", plain(|l| l.p50))?;
        self.section(f, "p99, µs", plain(|l| l.p99))?;
        let ratio = |value: fn(&Line) -> f64| {
            move |shape: Shape, name: &str| {
                if name == "chapar" {
                    return None;
                }
                let spread = self.ratio(shape, name, value)?;
                Some(format!("{:.2} ({:.2}–{:.2})", spread.median, spread.low, spread.high))
            }
        };
        self.section(f, "CPU per call, `chapar` over each, of pairs measured in turn", ratio(|l| l.cpu))?;
        self.section(f, "p99, `chapar` over each, of pairs measured in turn", ratio(|l| l.p99))
    }
}
