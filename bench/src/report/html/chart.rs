//! A plot as SVG.
//!
//! Colours are written as fixed values and stand for roles: the style sheet of the page gives each
//! of them its real colour, in light, in dark and on paper.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::report::html::axis::Axis;

/// Size of a plot in its own units; the page scales it to its width.
const SIZE: (u32, u32) = (860, 340);

/// Room for the texts at the axes.
const LEFT: u32 = 84;
const BELOW: u32 = 52;

/// Most points of a line that shows them, too.
const DOTS_MAX: usize = 60;

/// Height of texts; the library writes four fifths of it.
const TEXT: u32 = 18;

/// Texts and axes.
const INK: RGBColor = RGBColor(0, 0, 0);

/// The grid.
const GRID: RGBColor = RGBColor(0xDD, 0xDD, 0xDD);

/// The lines: colours of Okabe and Ito, which people tell apart however they see colours.
pub const COLOURS: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
];

/// Colour number `number`, as SVG writes it.
pub fn stroke(number: usize) -> String {
    let RGBColor(red, green, blue) = COLOURS[number % COLOURS.len()];
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// One thing that a plot shows.
#[derive(Debug)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Number of its colour.
    pub colour: usize,
    /// Its points; a line is drawn through those that belong together.
    pub lines: Vec<Vec<(f64, f64)>>,
    /// Its most important figures, as text.
    pub figures: String,
}

impl Series {
    /// Its colour, as SVG writes it.
    pub fn stroke(&self) -> String {
        stroke(self.colour)
    }
}

/// Draws `series` between two axes.
pub fn svg(x: &Axis, y: &Axis, series: &[Series]) -> String {
    let mut text = String::new();
    draw(&mut text, x, y, series).expect("a plot is drawn into memory");
    // Inside a page the name space goes without saying.
    text.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1)
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn draw(text: &mut String, x: &Axis, y: &Axis, series: &[Series]) -> Drawn {
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin_top(14)
        .margin_right(30)
        .x_label_area_size(BELOW)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(x, y)?;
    let label = ("sans-serif", TEXT).into_font().color(&INK);
    chart
        .configure_mesh()
        .x_desc(&x.name)
        .y_desc(&y.name)
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style(label.clone())
        .axis_desc_style(label)
        .draw()?;
    for one in series {
        let colour = COLOURS[one.colour % COLOURS.len()];
        let shown = |line: &Vec<(f64, f64)>| pieces(line, x, y);
        let lines: Vec<_> = one.lines.iter().flat_map(shown).collect();
        let dots = lines.iter().map(Vec::len).sum::<usize>() <= DOTS_MAX;
        for line in lines {
            if dots || line.len() == 1 {
                let dot = |&at: &(f64, f64)| Circle::new(at, 3, colour.filled());
                chart.draw_series(line.iter().map(dot))?;
            }
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        }
    }
    drop(chart);
    area.present()
}

impl Ranged for &Axis {
    type ValueType = f64;
    type FormatOption = NoDefaultFormatting;

    fn range(&self) -> Range<f64> {
        self.ends.0..self.ends.1
    }

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let [first, last, at] = [self.ends.0, self.ends.1, *value].map(|value| self.place(value));
        from + ((at - first) / (last - first) * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Between the ticks there is no second, finer grid.
        match hint.weight().allow_light_points() {
            true => Vec::new(),
            false => self.ticks.iter().map(|(value, _)| *value).collect(),
        }
    }
}

impl ValueFormatter<f64> for &Axis {
    fn format(at: &f64) -> String {
        at.to_string()
    }

    fn format_ext(&self, at: &f64) -> String {
        let is_here = |(value, _): &&(f64, String)| value == at;
        self.ticks.iter().find(is_here).map_or(String::new(), |(_, text)| text.clone())
    }
}

/// A line without the points that cannot be shown, such as the latency of a second without an
/// answer: there the line is broken.
fn pieces(line: &[(f64, f64)], x: &Axis, y: &Axis) -> Vec<Vec<(f64, f64)>> {
    let shows = |point: &(f64, f64)| x.shows(point.0) && y.shows(point.1);
    line.split(|point| !shows(point)).filter(|piece| !piece.is_empty()).map(<[_]>::to_vec).collect()
}
