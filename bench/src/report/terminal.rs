//! Tables on a terminal. One that is wider comes in parts, one below the other, each with the
//! columns that name its rows; in a file or a pipe it is whole, for who reads it there.

use std::ops::Range;

use comfy_table::{Cell, ColumnConstraint, Table, Width};

/// What a line has beside each cell: a blank on both sides of it, and one to the next cell.
const GAP: usize = 3;

/// On a narrower terminal parts are as wide as this, and it breaks their lines.
const WIDTH_MIN: usize = 40;

/// Prints a table on standard output.
pub fn print(table: &Table) {
    println!("{}", fitted(table, width()));
}

/// Columns of the terminal that standard output is; none where it is none.
pub fn width() -> Option<u16> {
    Table::new().width().filter(|columns| *columns > 0)
}

/// A table in lines of up to `width` columns; without a width as it is.
pub fn fitted(table: &Table, width: Option<u16>) -> String {
    let whole: Vec<usize> =
        table.column_max_content_widths().into_iter().map(usize::from).collect();
    match width.map(usize::from) {
        // Behind the last cell of a line there is no next one.
        Some(width) if taken(&whole) > width + 1 => {
            Wide::new(table, whole, width.max(WIDTH_MIN) + 1).parts().join("\n")
        }
        _ => table.to_string(),
    }
}

/// Columns of a line whose cells are so wide.
fn taken(cells: &[usize]) -> usize {
    cells.iter().map(|cell| cell + GAP).sum()
}

/// A table that is wider than its terminal.
struct Wide<'a> {
    table: &'a Table,
    /// Columns that a line may have, the blank behind its last cell included.
    room: usize,
    /// How many columns name the rows: those before the figures, see `table::align_numbers`.
    names: usize,
    /// How wide each column is if no cell is broken.
    whole: Vec<usize>,
    /// How wide it is at least.
    least: Vec<usize>,
}

impl<'a> Wide<'a> {
    fn new(table: &'a Table, whole: Vec<usize>, room: usize) -> Self {
        let names = table.column_iter().take_while(|column| column.constraint().is_none()).count();
        // All names together leave room for a figure.
        let share = |parts: usize| (room / parts).saturating_sub(GAP);
        let (low, high) = (share(names + 2), share(names + 1));
        let name = |at: usize| name_width(table, at).clamp(low, high).min(whole[at]);
        let mut least: Vec<usize> = (0..names).map(name).collect();
        let left = room.saturating_sub(taken(&least) + GAP);
        let figure = |at: usize| figure_width(table, at).min(left).min(whole[at]);
        least.extend((names..whole.len()).map(figure));
        Self { table, room, names, whole, least }
    }

    fn parts(&self) -> Vec<String> {
        let (names, figures) = self.least.split_at(self.names);
        let parts = even(figures, self.room.saturating_sub(taken(names)));
        parts.into_iter().map(|part| self.part(part)).collect()
    }

    /// The names of the rows with these `figures`. What is left of a line goes to the first columns
    /// that are broken.
    fn part(&self, figures: Range<usize>) -> String {
        let is_shown = |at: usize| at < self.names || figures.contains(&(at - self.names));
        let shown = (0..self.least.len()).filter(|at| is_shown(*at));
        let least: Vec<usize> = shown.map(|at| self.least[at]).collect();
        let mut left = self.room.saturating_sub(taken(&least));
        let mut part = self.table.clone();
        for (at, column) in part.column_iter_mut().enumerate() {
            if !is_shown(at) {
                column.set_constraint(ColumnConstraint::Hidden);
                continue;
            }
            let more = left.min(self.whole[at] - self.least[at]);
            left -= more;
            let width = self.least[at] + more + usize::from(column.padding_width());
            let width = u16::try_from(width).expect("a terminal has no more columns");
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
        }
        part.to_string()
    }
}

/// Which columns of figures each part has: as few parts as there is room for, of about one width.
fn even(figures: &[usize], room: usize) -> Vec<Range<usize>> {
    let fewest = filled(figures, room).len();
    let narrowest = (0..room).find(|room| filled(figures, *room).len() == fewest);
    filled(figures, narrowest.unwrap_or(room))
}

/// The same with each part filled before the next begins.
fn filled(figures: &[usize], room: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut begin = 0;
    for at in 1..figures.len() {
        if taken(&figures[begin..=at]) > room {
            parts.push(begin..at);
            begin = at;
        }
    }
    parts.push(begin..figures.len());
    parts
}

/// The width of a column of names in which no word is broken.
fn name_width(table: &Table, at: usize) -> usize {
    longest_word(table.column_cells_with_header_iter(at).flatten())
}

/// The width of a column in which no figure is broken, and no word of its heading.
fn figure_width(table: &Table, at: usize) -> usize {
    let heading = table.header().and_then(|header| header.cell_iter().nth(at));
    let figures = table.column_cells_iter(at).flatten();
    let widest = figures.map(|cell| cell.content().chars().count()).max();
    longest_word(heading.into_iter()).max(widest.unwrap_or(0))
}

fn longest_word<'a>(cells: impl Iterator<Item = &'a Cell>) -> usize {
    let words = |cell: &Cell| {
        let content = cell.content();
        content.split_whitespace().map(|word| word.chars().count()).max()
    };
    cells.filter_map(words).max().unwrap_or(0)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::report::table;

    /// That a table is whole without a terminal, and on one of 80 columns, as on one of 120, has
    /// lines that fit and all its words unbroken.
    pub fn check_fit(table: &Table) {
        assert_eq!(fitted(table, None), table.to_string());
        let cells = table.header().into_iter().chain(table.row_iter());
        let cells: Vec<_> = cells.flat_map(|row| row.cell_iter()).map(Cell::content).collect();
        for width in [80, 120] {
            let text = fitted(table, Some(width));
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= usize::from(width), "{widest}: {text}");
            for word in cells.iter().flat_map(|cell| cell.split_whitespace()) {
                assert!(text.contains(word), "{word}: {text}");
            }
        }
    }

    fn table_of(names: usize, header: &[&str], row: &[&str]) -> Table {
        let mut table = table::plain();
        table.set_header(header).add_row(row);
        table::align_numbers(&mut table, names);
        table
    }

    /// The lines at `width` columns without those that are drawn, and with one blank between words.
    fn lines(table: &Table, width: u16) -> Vec<String> {
        let text = fitted(table, Some(width));
        let written = text.lines().filter(|line| !line.starts_with(['─', '═']));
        written.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    fn sends() -> Table {
        let header = ["load", "messages", "msg/s", "p50 us", "p99 us", "max us"];
        table_of(1, &header, &["sync-64x1", "123456", "98765", "1234.5", "23456.7", "345678.9"])
    }

    #[test]
    fn a_wide_table_comes_in_parts_with_the_names_of_its_rows() {
        let expected = [
            "load messages msg/s p50 us",
            "sync-64x1 123456 98765 1234.5",
            "load p99 us max us",
            "sync-64x1 23456.7 345678.9",
        ];
        assert_eq!(lines(&sends(), 40), expected);
        assert_eq!(lines(&sends(), 1), expected, "narrower is not read in columns");
        check_fit(&sends());
    }

    #[test]
    fn a_table_that_fits_is_printed_as_it_is() {
        // 43 characters in 6 columns with 2 blanks each, and 5 between these.
        assert_eq!(fitted(&sends(), Some(60)), sends().to_string());
        assert_ne!(fitted(&sends(), Some(59)), sends().to_string());
    }

    #[test]
    fn a_long_name_is_broken_between_words_and_a_figure_never() {
        let header = ["latency", "count", "p50", "p99"];
        let row = ["service time, closed loop", "100000", "1234567.8", "12345678.9"];
        let expected = [
            "latency count p50",
            "service time, 100000 1234567.8",
            "closed loop",
            "latency p99",
            "service time, closed loop 12345678.9",
        ];
        assert_eq!(lines(&table_of(1, &header, &row), 40), expected);
    }

    #[test]
    fn parts_are_of_about_one_width() {
        // Writes without and with a flush: four figures of each.
        assert_eq!(even(&[6, 5, 6, 4, 11, 5, 6, 4], 64), [0..4, 4..8]);
        assert_eq!(filled(&[6, 5, 6, 4, 11, 5, 6, 4], 64), [0..7, 7..8]);
        assert_eq!(even(&[90, 4, 7], 56), [0..1, 1..3], "one alone may be wider");
        assert_eq!(even(&[], 10).len(), 1, "names alone");
    }

    #[test]
    fn columns_of_figures_that_name_the_rows_stand_in_each_part() {
        let header = ["bytes", "depth", "write us p50", "MB/s", "write+flush us p50", "MB/s"];
        let row = ["4096", "16", "123456", "1000.0", "234567", "900.0"];
        let mut table = table_of(0, &header, &row);
        assert!(!lines(&table, 40)[2].contains("bytes"));
        table::name_rows(&mut table, 2);
        let lines = lines(&table, 40);
        assert_eq!(lines.iter().filter(|line| line.starts_with("bytes depth ")).count(), 2);
        assert_eq!(lines.iter().filter(|line| line.starts_with("4096 16 ")).count(), 2);
    }

    #[test]
    fn texts_and_settings_are_broken_between_words() {
        let what = "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in \
                    queue: 204ms, size of queue: 1027";
        let mut errors = table::plain();
        errors.set_header(["failed with", "requests", "such as"]);
        check_fit(errors.add_row(["SYSTEM_BUSY (2)", "1027", what]));
        let change = "-XX:+UseG1GC -XX:G1ReservePercent=25 \
                      -XX:InitiatingHeapOccupancyPercent=30 -XX:+UseTransparentHugePages";
        let header = ["scenario", "variant", "change", "runs", "msg/s"];
        let mut sweep = table_of(3, &header, &["sync-64x1", "huge-pages", change, "4", "12345.6"]);
        table::name_rows(&mut sweep, 2);
        check_fit(&sweep);
    }
}
