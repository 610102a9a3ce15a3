//! The result as a table.

use super::inputs::Inputs;
use super::measure::{Race, Standing};
use crate::Outcome;

/// Lines of a Markdown document.
pub(super) struct Report {
    lines: Vec<String>,
    memory: Vec<String>,
}

impl Report {
    pub(super) fn new(inputs: &Inputs) -> Self {
        let size = inputs.tar.metadata().map_or(0, |meta| meta.len());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let lines = vec![
            format!(
                "Input: {} ({size} bytes); {cores} cores.",
                inputs.tar.display()
            ),
            String::new(),
            "| race | contestant | median s | min..max s | ratio | goal | output bytes |"
                .to_owned(),
            "|---|---|---|---|---|---|---|".to_owned(),
        ];
        Self {
            lines,
            memory: Vec::new(),
        }
    }

    /// Runs a race and notes its result.
    pub(super) fn race(&mut self, race: Race) -> Outcome {
        let results = race.run()?;
        let first = results.first().map_or(f64::NAN, Standing::median);
        for (i, result) in results.iter().enumerate() {
            let name = result.name.replace('|', "\\|");
            let title = if i == 0 { race.title } else { "" };
            if let Some(failure) = &result.failure {
                self.lines
                    .push(format!("| {title} | {name} | failed: {failure} | | | | |"));
                continue;
            }
            let seconds = |time: Option<&std::time::Duration>| {
                time.map_or(f64::NAN, std::time::Duration::as_secs_f64)
            };
            // The first is measured against the others.
            let ratio = if i == 0 {
                String::new()
            } else {
                format!("{:.2}", first / result.median())
            };
            let goal = race
                .goal
                .filter(|_| i == 1)
                .map_or(String::new(), |goal| goal.to_string());
            self.lines.push(format!(
                "| {title} | {} | {:.2} | {:.2}..{:.2} | {ratio} | {goal} | {} |",
                name,
                result.median(),
                seconds(result.times.first()),
                seconds(result.times.last()),
                result.size,
            ));
        }
        Ok(())
    }

    /// Notes a peak of memory in KiB.
    pub(super) fn memory(&mut self, name: &str, kib: u64) {
        let megabytes = kib * 1024 / 1_000_000;
        self.memory.push(format!("| {name} | {megabytes} |"));
    }

    pub(super) fn print(&self) {
        println!("{}", self.lines.join("\n"));
        println!("\nratio: the first contestant's median divided by this one's.");
        println!(
            "\n| peak memory of forger | MB |\n|---|---|\n{}",
            self.memory.join("\n")
        );
    }
}
