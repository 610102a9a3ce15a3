//! Races: every contestant in turn, several rounds, the median of each.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use forger_tests::process::Run;

/// One command that makes `output`.
pub(super) struct Contestant {
    pub(super) name: &'static str,
    /// What it makes; removed before each round.
    pub(super) output: PathBuf,
    pub(super) run: Box<dyn Fn() -> Run>,
}

/// Commands that do the same work. The first is forger's; the second is what it is held against.
pub(super) struct Race {
    pub(super) title: &'static str,
    /// The ratio of the first to the second that must not be exceeded.
    pub(super) goal: Option<f64>,
    pub(super) rounds: usize,
    pub(super) contestants: Vec<Contestant>,
}

/// What a contestant took.
pub(super) struct Standing {
    pub(super) name: &'static str,
    /// Sorted.
    pub(super) times: Vec<Duration>,
    /// Length of the output in bytes.
    pub(super) size: u64,
    /// Why it has no times.
    pub(super) failure: Option<String>,
}

impl Standing {
    /// Returns the median in seconds.
    pub(super) fn median(&self) -> f64 {
        self.times
            .get(self.times.len() / 2)
            .map_or(f64::NAN, Duration::as_secs_f64)
    }
}

impl Race {
    /// Runs the race; forger must succeed, a peer may fail and is reported.
    pub(super) fn run(&self) -> Result<Vec<Standing>, String> {
        let new = |contestant: &Contestant| Standing {
            name: contestant.name,
            times: Vec::new(),
            size: 0,
            failure: None,
        };
        let mut results: Vec<Standing> = self.contestants.iter().map(new).collect();
        for round in 1..=self.rounds {
            for (contestant, result) in self.contestants.iter().zip(&mut results) {
                if result.failure.is_some() {
                    continue;
                }
                let _ = fs::remove_file(&contestant.output);
                // What others left to be written must not be waited for here.
                Run::new("sync").limit(300).try_output()?;
                eprintln!("    {}, round {round}: {}", self.title, contestant.name);
                let output = (contestant.run)().try_output()?;
                if output.status.success() {
                    result.times.push(output.elapsed);
                    result.size = contestant.output.metadata().map_or(0, |meta| meta.len());
                } else if contestant.name.contains("forger") {
                    return Err(output.to_string());
                } else {
                    let why = output
                        .errors()
                        .lines()
                        .last()
                        .unwrap_or_default()
                        .to_owned();
                    result.failure = Some(why);
                }
            }
        }
        for result in &mut results {
            result.times.sort();
        }
        if let Some(contestant) = self.contestants.first() {
            let _ = fs::remove_file(&contestant.output);
        }
        Ok(results)
    }
}

/// Runs a command that ends in an `exec`, and returns its peak memory in KiB.
pub(super) fn peak_memory(run: Run) -> Result<u64, String> {
    let output = run.under("time", &["-f", "%M"]).try_output()?;
    let text = output.errors();
    let last = text.lines().last().unwrap_or_default();
    match last.parse() {
        Ok(kib) if output.status.success() => Ok(kib),
        _ => Err(output.to_string()),
    }
}
