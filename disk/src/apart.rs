//! Whether the parts of a file stand apart.

use std::fmt;
use std::ops::Range;

use crate::check::Report;

/// Reports the places of a file that share bytes with another one.
pub(crate) fn report_overlaps<N: fmt::Display>(
    report: &mut Report,
    mut places: Vec<(Range<u64>, N)>,
) {
    places.sort_by_key(|(range, _)| range.start);
    let mut last: Option<(&Range<u64>, &N)> = None;
    for (range, name) in &places {
        if range.is_empty() {
            continue;
        }
        if let Some((before, other)) = last
            && range.start < before.end
        {
            let at = range.start;
            report.error(name, format!("it shares bytes with {other} at offset {at}"));
        }
        if last.is_none_or(|(before, _)| before.end < range.end) {
            last = Some((range, name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_share_bytes_are_said() {
        let mut report = Report::default();
        let places = [(10, 20), (0, 10), (20, 40), (25, 30), (39, 50), (50, 50)];
        let places = places.map(|(start, end)| (start..end, format!("{start}-{end}")));
        report_overlaps(&mut report, places.to_vec());
        let found: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "25-30: it shares bytes with 20-40 at offset 25",
                "39-50: it shares bytes with 20-40 at offset 39",
            ]
        );
    }
}
