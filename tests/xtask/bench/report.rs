//! The result as a table.

use super::inputs::Inputs;
use super::measure::{Race, Standing};
use crate::Outcome;

/// Lines of a Markdown document.
pub(super) struct Report {
    lines: Vec<String>,
    memory: Vec<String>,
    differences: Vec<String>,
    facts: Vec<String>,
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
            differences: Vec::new(),
            facts: Vec::new(),
        }
    }

    /// Runs a race and notes its result.
    pub(super) fn race(&mut self, race: Race) -> Outcome {
        self.finished(race.title, race.goal, &race.run()?);
        Ok(())
    }

    /// Runs a race of two and notes what the first one does beyond the second: so many bytes, of which a goal
    /// in MB/s is expected, or nothing, which may take at most so many seconds.
    pub(super) fn difference(&mut self, race: Race, bytes: u64, goal: f64) -> Outcome {
        let results = race.run()?;
        self.finished(race.title, race.goal, &results);
        if let [more, less, ..] = &results[..]
            && more.failure.is_none()
            && less.failure.is_none()
        {
            let seconds = more.median() - less.median();
            let (title, megabytes) = (race.title, bytes / 1_000_000);
            self.differences.push(match megabytes {
                0 => format!("| {title} | {seconds:.2} s | at most {goal} s |"),
                _ => {
                    let rate = f64::from(u32::try_from(megabytes)?) / seconds;
                    format!("| {title} | {rate:.0} MB/s | at least {goal} MB/s |")
                }
            });
        }
        Ok(())
    }

    /// Notes what came of a race.
    pub(super) fn finished(&mut self, title: &str, goal: Option<f64>, results: &[Standing]) {
        let first = results.first().map_or(f64::NAN, Standing::median);
        for (i, result) in results.iter().enumerate() {
            let name = result.name.replace('|', "\\|");
            let title = if i == 0 { title } else { "" };
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
            let goal = goal
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
    }

    /// Notes something that was measured by itself, or why it was not.
    pub(super) fn fact(&mut self, what: &str, measured: Result<String, String>, goal: &str) {
        let measured = measured.unwrap_or_else(|why| why);
        self.facts.push(format!("| {what} | {measured} | {goal} |"));
    }

    /// Notes a peak of memory in KiB.
    pub(super) fn memory(&mut self, name: &str, kib: u64) {
        let megabytes = kib * 1024 / 1_000_000;
        self.memory.push(format!("| {name} | {megabytes} |"));
    }

    pub(super) fn print(&self) {
        println!("{}", self.lines.join("\n"));
        println!("\nratio: the first contestant's median divided by this one's.");
        if !self.differences.is_empty() {
            println!(
                "\n| first contestant beyond the second | median | goal |\n|---|---|---|\n{}",
                self.differences.join("\n")
            );
        }
        if !self.facts.is_empty() {
            println!(
                "\n| measured by itself | median | goal |\n|---|---|---|\n{}",
                self.facts.join("\n")
            );
        }
        println!(
            "\n| peak memory of forger | MB |\n|---|---|\n{}",
            self.memory.join("\n")
        );
    }
}
