//! What a command has to say: a table or lines for people, one JSON value for programs.

use comfy_table::{Table, presets};
use serde_json::Value;

/// The outcome of a command.
#[derive(Debug, Default)]
pub struct Report {
    text: String,
    json: Value,
    failures: Vec<String>,
    hint: Option<String>,
}

impl Report {
    /// Lines of text, and what they mean.
    pub fn lines(lines: impl IntoIterator<Item = String>, json: Value) -> Self {
        let text = lines.into_iter().map(|line| printable(&line, "\n\t") + "\n").collect();
        Self { text, json, ..Self::default() }
    }

    /// A table. In JSON it is a list of objects, keyed by the headings without their `#`.
    pub fn table(headings: &[&str], rows: Vec<Vec<String>>) -> Self {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_header(headings);
        table.add_rows(rows.iter().map(|row| row.iter().map(|cell| printable(cell, ""))));
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let object = |row: &Vec<String>| {
            let fields = headings.iter().zip(row);
            Value::Object(fields.map(|(name, cell)| (field_name(name), typed(cell))).collect())
        };
        let json = Value::Array(rows.iter().map(object).collect());
        Self { text: format!("{}\n", table.trim_fmt()), json, ..Self::default() }
    }

    /// The same report with further lines below it.
    pub fn then(mut self, line: impl AsRef<str>) -> Self {
        self.text.push_str(&printable(line.as_ref(), "\n\t"));
        self.text.push('\n');
        self
    }

    /// The same report, which is incomplete: what it lacks, and why.
    pub fn with_failures(mut self, failures: Vec<String>) -> Self {
        self.failures = failures;
        self
    }

    /// What it lacks, and why; empty for a whole one.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        self.failures.iter().map(|failure| printable(failure, ""))
    }

    /// The same report with a hint for people, which is no part of what programs read.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What a person may look at next.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The same report with this JSON value.
    pub fn with_json(mut self, json: Value) -> Self {
        self.json = json;
        self
    }

    /// The JSON value so far.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// For people.
    pub fn text(&self) -> String {
        self.text.clone()
    }

    /// For programs.
    pub fn json_text(&self) -> String {
        format!("{:#}\n", self.json)
    }
}

/// Text of others without what a terminal would act upon: the id of a client may hold anything.
fn printable(text: &str, allowed: &str) -> String {
    let is_acted_upon = |c: char| c.is_control() && !allowed.contains(c);
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        match is_acted_upon(c) {
            true => printable.extend(c.escape_default()),
            false => printable.push(c),
        }
    }
    printable
}

/// `#Broker Name` as `brokerName`, `#InTPS(LOAD)` as `inTPS`, `#SPACE` as `space`.
fn field_name(heading: &str) -> String {
    let plain = heading.trim_start_matches('#').split('(').next().unwrap_or_default();
    let mut name = String::new();
    for word in plain.split_whitespace() {
        let (first, rest) = word.split_at(1);
        if !name.is_empty() {
            name.push_str(&first.to_uppercase());
            name.push_str(rest);
        } else if word.chars().all(char::is_uppercase) {
            name.push_str(&word.to_lowercase());
        } else {
            name.push_str(&first.to_lowercase());
            name.push_str(rest);
        }
    }
    name
}

fn typed(cell: &str) -> Value {
    match cell.parse::<i64>() {
        Ok(number) => number.into(),
        Err(_) => cell.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_columns_for_people_and_objects_for_programs() {
        let rows = vec![vec!["a".into(), "1".into()], vec!["long name".into(), "22".into()]];
        let report = Report::table(&["#Broker Name", "#QID"], rows).then("done");
        assert!(report.text().contains("#Broker Name"), "{}", report.text());
        assert!(report.text().ends_with("done\n"));
        assert_eq!(report.json()[1]["brokerName"], "long name");
        assert_eq!(report.json()[1]["qid"], 22);
        assert_eq!(field_name("#InTPS(LOAD)"), "inTPS");
    }

    #[test]
    fn names_of_others_do_not_steer_the_terminal() {
        let rows = vec![vec!["\u{1b}]0;title\u{7}\n".into()]];
        let report = Report::table(&["#ClientId"], rows).then("a\u{1b}[2Jb\tc");
        let found = report.text().chars().find(|c| c.is_control() && !"\n\t".contains(*c));
        assert_eq!(found, None, "{:?}", report.text());
        assert_eq!(report.json()[0]["clientId"], "\u{1b}]0;title\u{7}\n");
        assert!(Report::lines(["{\n}".into()], Value::Null).text() == "{\n}\n");
    }
}
