//! Tables for people.

/// Columns that line up: the first to the left, the others to the right, except bars.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The whole of it, a line under the headings.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns).map(|column| self.width(column)).collect();
        let mut lines: Vec<String> = self.rows.iter().map(|row| line(row, &widths)).collect();
        lines.insert(1, widths.iter().map(|width| "─".repeat(*width)).collect::<Vec<_>>().join("  "));
        lines.join("\n")
    }

    fn width(&self, column: usize) -> usize {
        self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cell = |(column, (cell, width)): (usize, (&String, &usize))| {
        let left = column == 0 || cell.contains(BLOCKS[7]) || cell.contains(BLOCKS[0]);
        if left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
    };
    row.iter().zip(widths).enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

const BLOCKS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// A bar of `value` where `full` takes `width` characters; longer ones are cut.
pub fn bar(value: f64, full: f64, width: usize) -> String {
    let eighths = (value / full * width as f64 * 8.0).round().clamp(1.0, width as f64 * 8.0) as usize;
    let rest = eighths % 8;
    let mut bar = "█".repeat(eighths / 8);
    if rest > 0 {
        bar.push(BLOCKS[rest - 1]);
    }
    bar
}

/// The middle of some measurements, or the mean of the two middle ones.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["model", "tokens/s"]);
        table.row(vec!["q4_0".to_owned(), "7.5".to_owned()]);
        assert_eq!(table.render(), "model  tokens/s\n─────  ────────\nq4_0        7.5");
    }

    #[test]
    fn a_bar_has_eighths_and_an_end() {
        let check = |value: f64, expect: &str| assert_eq!(bar(value, 1.0, 2), expect, "{value}");
        check(0.5, "█");
        check(0.75, "█▌");
        check(9.0, "██");
        check(0.0, "▏");
    }

    #[test]
    fn a_median_is_the_middle() {
        let check = |values: &[f64], expect: f64| assert!((median(values) - expect).abs() < 1e-12, "{values:?}");
        check(&[3.0, 1.0, 2.0], 2.0);
        check(&[4.0, 1.0, 2.0, 3.0], 2.5);
    }
}
