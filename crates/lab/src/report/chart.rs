//! Small charts as SVG: curves with bands, intervals, stacked shares. One drawing serves two uses ([`Ink`]): inside a page,
//! where its colours follow the page's light or dark theme, and alone, as a file or a PNG.
//!
//! Everything is laid out for a width of 480 units with letters of 14, so that it can still be read on a phone.

use std::fmt::Write as _;

use super::axis::Axis;

pub(super) const WIDTH: f64 = 480.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const PLOT_HEIGHT: f64 = 240.0;
const BELOW: f64 = 46.0;
const LETTER: f64 = 14.0;
/// Width of a letter on average, for wrapping the legend.
const LETTER_WIDTH: f64 = 7.4;
/// Okabe & Ito 2008, told apart by people with colour-blindness; the page lightens them in its dark theme.
pub(super) const PALETTE: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#7a5195", "#6b6b6b"];

/// Where a drawing is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// In a page that defines the CSS variables `--fg`, `--grid`, `--c0` … `--c7`.
    Page,
    /// Alone, dark on white.
    Alone,
}

impl Ink {
    fn colour(self, index: usize) -> String {
        let index = index % PALETTE.len();
        match self {
            Self::Page => format!("var(--c{index})"),
            Self::Alone => PALETTE[index].to_owned(),
        }
    }

    fn text(self) -> &'static str {
        if self == Self::Page { "var(--fg)" } else { "#222222" }
    }

    fn grid(self) -> &'static str {
        if self == Self::Page { "var(--grid)" } else { "#dddddd" }
    }
}

/// One curve.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Number of its colour.
    pub colour: usize,
    /// (x, y).
    pub points: Vec<(f64, f64)>,
    /// (low, high) at each point; empty for none.
    pub band: Vec<(f64, f64)>,
    /// Drawn as a staircase.
    pub steps: bool,
}

/// An estimate with its interval.
#[derive(Debug, Clone)]
pub struct Bar {
    /// Its name.
    pub name: String,
    /// Number of its colour.
    pub colour: usize,
    /// (low, point, high).
    pub interval: (f64, f64, f64),
}

/// What a chart shows.
#[derive(Debug, Clone)]
pub enum Content {
    /// Curves.
    Curves(Vec<Series>),
    /// Dots with intervals, one below the other.
    Intervals(Vec<Bar>),
    /// Areas on top of one another that add up to one at every x: (name, share at each x).
    Shares {
        /// Where the shares were measured.
        x: Vec<f64>,
        /// From below to above.
        layers: Vec<(String, Vec<f64>)>,
    },
}

/// A chart.
#[derive(Debug, Clone)]
pub struct Chart {
    /// What is above it.
    pub title: String,
    /// Names of the axes.
    pub labels: (String, String),
    /// What it shows.
    pub content: Content,
    /// A dashed line with a name: across, or for intervals upright.
    pub reference: Option<(f64, String)>,
    /// Ends of the axis of values, where they are not to follow from the data.
    pub range: Option<(f64, f64)>,
}

impl Chart {
    /// The chart as the text of an `<svg>` element; alone it is a whole file.
    #[must_use]
    pub fn svg(&self, ink: Ink) -> String {
        let legend = self.legend();
        let rows = legend_rows(&legend);
        let top = 30.0 + 20.0 * rows.len() as f64 + 8.0;
        let plot = match &self.content {
            Content::Intervals(bars) => 26.0 * bars.len() as f64 + 8.0,
            _ => PLOT_HEIGHT,
        };
        let mut out = Canvas { text: String::new(), ink, top, plot };
        let height = top + plot + BELOW;
        let _ = write!(
            out.text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
             role=\"img\" aria-label=\"{}\" font-family=\"sans-serif\" font-size=\"{LETTER}\">",
            escape(&self.title)
        );
        if ink == Ink::Alone {
            let _ = write!(out.text, "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>");
        }
        out.write(LEFT - 50.0, 20.0, "start", 15.0, &self.title);
        let mut y = 44.0;
        for row in rows {
            let mut x = LEFT - 50.0;
            for (name, colour) in row {
                let paint = ink.colour(*colour);
                let _ = write!(
                    out.text,
                    "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"14\" height=\"9\" rx=\"2\" fill=\"{paint}\"/>",
                    y - 9.0
                );
                out.write(x + 19.0, y, "start", LETTER, name);
                x += legend_width(name);
            }
            y += 20.0;
        }
        match &self.content {
            Content::Curves(series) => self.curves(&mut out, series),
            Content::Intervals(bars) => self.intervals(&mut out, bars),
            Content::Shares { x, layers } => self.shares(&mut out, x, layers),
        }
        out.text.push_str("</svg>");
        out.text
    }

    fn legend(&self) -> Vec<(&str, usize)> {
        match &self.content {
            Content::Curves(series) => series.iter().map(|s| (s.name.as_str(), s.colour)).collect(),
            Content::Intervals(_) => Vec::new(),
            Content::Shares { layers, .. } => {
                layers.iter().enumerate().map(|(i, (name, _))| (name.as_str(), i)).collect()
            }
        }
    }

    fn curves(&self, out: &mut Canvas, series: &[Series]) {
        let points = || series.iter().flat_map(|s| &s.points);
        let x = Axis::over(points().map(|p| p.0), Some((0.0, 0.0)));
        let bands = series.iter().flat_map(|s| &s.band).flat_map(|b| [b.0, b.1]);
        let values = points().map(|p| p.1).chain(bands).chain(self.reference.iter().map(|r| r.0));
        let y = self.range.map_or_else(|| Axis::over(values, None), |(low, high)| Axis::fixed(low, high));
        let (px, py) = (|v: f64| x.place(v, LEFT, WIDTH - RIGHT), out.vertical(&y));
        out.axes(&x, &y, &self.labels);
        for s in series.iter().filter(|s| s.band.len() == s.points.len() && !s.points.is_empty()) {
            let upper = s.points.iter().zip(&s.band).map(|(p, b)| (p.0, b.1));
            let lower = s.points.iter().zip(&s.band).rev().map(|(p, b)| (p.0, b.0));
            let outline: Vec<(f64, f64)> = upper.chain(lower).map(|(x, y)| (px(x), py(y))).collect();
            let paint = out.ink.colour(s.colour);
            let _ =
                write!(out.text, "<path d=\"{}Z\" fill=\"{paint}\" fill-opacity=\"0.18\"/>", path(&outline));
        }
        if let Some((value, name)) = &self.reference {
            out.dashes((LEFT, py(*value)), (WIDTH - RIGHT, py(*value)));
            out.write(WIDTH - RIGHT - 2.0, py(*value) - 5.0, "end", 12.0, name);
        }
        for s in series {
            let mut line: Vec<(f64, f64)> = Vec::new();
            for &(x, y) in &s.points {
                if s.steps
                    && let Some(&(_, before)) = line.last()
                {
                    line.push((px(x), before));
                }
                line.push((px(x), py(y)));
            }
            let paint = out.ink.colour(s.colour);
            let _ = write!(
                out.text,
                "<path d=\"{}\" fill=\"none\" stroke=\"{paint}\" stroke-width=\"2\" stroke-linejoin=\"round\"/>",
                path(&line)
            );
        }
    }

    fn intervals(&self, out: &mut Canvas, bars: &[Bar]) {
        let widest = bars.iter().map(|bar| bar.name.chars().count()).max().unwrap_or(0);
        let left = (widest as f64 * LETTER_WIDTH + 24.0).clamp(LEFT, 0.55 * WIDTH);
        let values = bars.iter().flat_map(|b| [b.interval.0, b.interval.1, b.interval.2]);
        let values = values.chain(self.reference.iter().map(|r| r.0));
        let x = self.range.map_or_else(|| Axis::over(values, None), |(low, high)| Axis::fixed(low, high));
        let px = |v: f64| x.place(v, left, WIDTH - RIGHT);
        out.upright_grid(&x, left, &self.labels.0);
        if let Some((value, _)) = &self.reference {
            out.dashes((px(*value), out.top), (px(*value), out.top + out.plot));
        }
        for (i, bar) in bars.iter().enumerate() {
            let y = out.top + 26.0 * i as f64 + 17.0;
            let (low, point, high) = bar.interval;
            let paint = out.ink.colour(bar.colour);
            out.write(left - 10.0, y + 5.0, "end", LETTER, &bar.name);
            let _ = write!(
                out.text,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"10\" rx=\"3\" fill=\"{paint}\" fill-opacity=\"0.35\"/>\
                 <circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4.5\" fill=\"{paint}\"/>",
                px(low),
                y - 5.0,
                (px(high) - px(low)).max(1.0),
                px(point)
            );
        }
    }

    fn shares(&self, out: &mut Canvas, x_values: &[f64], layers: &[(String, Vec<f64>)]) {
        let (x, y) = (Axis::over(x_values.iter().copied(), Some((0.0, 0.0))), Axis::fixed(0.0, 1.0));
        let (px, py) = (|v: f64| x.place(v, LEFT, WIDTH - RIGHT), out.vertical(&y));
        out.axes(&x, &y, &self.labels);
        let mut below = vec![0.0; x_values.len()];
        for (colour, (_, shares)) in layers.iter().enumerate() {
            let above: Vec<f64> = below.iter().zip(shares).map(|(b, s)| b + s.max(0.0)).collect();
            let forth = x_values.iter().zip(&above).map(|(&x, &y)| (px(x), py(y)));
            let back = x_values.iter().zip(&below).rev().map(|(&x, &y)| (px(x), py(y)));
            let outline: Vec<(f64, f64)> = forth.chain(back).collect();
            let paint = out.ink.colour(colour);
            let _ = write!(
                out.text,
                "<path d=\"{}Z\" fill=\"{paint}\" fill-opacity=\"0.55\" stroke=\"{paint}\" stroke-width=\"1\"/>",
                path(&outline)
            );
            below = above;
        }
    }
}

/// The drawing under way, and where its plot lies.
struct Canvas {
    text: String,
    ink: Ink,
    top: f64,
    plot: f64,
}

impl Canvas {
    fn vertical(&self, axis: &Axis) -> impl Fn(f64) -> f64 + use<> {
        let (axis, top, plot) = (axis.clone(), self.top, self.plot);
        move |value| axis.place(value, top + plot, top)
    }

    fn write(&mut self, x: f64, y: f64, anchor: &str, size: f64, text: &str) {
        let fill = self.ink.text();
        let _ = write!(
            self.text,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"{fill}\">{}</text>",
            escape(text)
        );
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), extra: &str) {
        let stroke = self.ink.grid();
        let _ = write!(
            self.text,
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"{stroke}\" {extra}/>",
            from.0, from.1, to.0, to.1
        );
    }

    fn dashes(&mut self, from: (f64, f64), to: (f64, f64)) {
        let stroke = self.ink.text();
        let _ = write!(
            self.text,
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"{stroke}\" stroke-opacity=\"0.6\" stroke-dasharray=\"5 4\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    fn axes(&mut self, x: &Axis, y: &Axis, labels: &(String, String)) {
        for value in y.ticks() {
            let at = y.place(value, self.top + self.plot, self.top);
            self.line((LEFT, at), (WIDTH - RIGHT, at), "");
            self.write(LEFT - 6.0, at + 4.5, "end", 12.0, &y.label(value));
        }
        self.upright_grid(x, LEFT, &labels.0);
        let middle = self.top + self.plot / 2.0;
        let fill = self.ink.text();
        let _ = write!(
            self.text,
            "<text transform=\"translate(14 {middle:.1}) rotate(-90)\" text-anchor=\"middle\" font-size=\"12.5\" fill=\"{fill}\">{}</text>",
            escape(&labels.1)
        );
    }

    fn upright_grid(&mut self, x: &Axis, left: f64, label: &str) {
        let bottom = self.top + self.plot;
        for value in x.ticks() {
            let at = x.place(value, left, WIDTH - RIGHT);
            self.line((at, self.top), (at, bottom), "");
            self.write(at, bottom + 16.0, "middle", 12.0, &x.label(value));
        }
        self.write((left + WIDTH - RIGHT) / 2.0, bottom + 36.0, "middle", 12.5, label);
    }
}

fn path(points: &[(f64, f64)]) -> String {
    let mut out = String::new();
    for (i, (x, y)) in points.iter().enumerate() {
        let _ = write!(out, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
    }
    out
}

fn legend_width(name: &str) -> f64 {
    name.chars().count() as f64 * LETTER_WIDTH + 36.0
}

fn legend_rows<'a>(names: &'a [(&'a str, usize)]) -> Vec<Vec<&'a (&'a str, usize)>> {
    let mut rows: Vec<Vec<&(&str, usize)>> = Vec::new();
    let mut used = f64::INFINITY;
    for item in names {
        let width = legend_width(item.0);
        if used + width > WIDTH - 12.0 {
            rows.push(Vec::new());
            used = 0.0;
        }
        used += width;
        if let Some(row) = rows.last_mut() {
            row.push(item);
        }
    }
    rows
}

/// Text as it may stand in XML and HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(content: Content) -> Chart {
        let labels = ("steps".into(), "return".into());
        Chart { title: "A < B".into(), labels, content, reference: Some((1.0, "goal".into())), range: None }
    }

    #[test]
    fn every_kind_is_drawn_alone_and_in_a_page() {
        let series = Series {
            name: "a2c".into(),
            points: vec![(0.0, 1.0), (10.0, 3.0)],
            band: vec![(0.5, 1.5), (2.0, 4.0)],
            ..Series::default()
        };
        let bar = Bar { name: "a2c".into(), colour: 1, interval: (0.1, 0.2, 0.4) };
        let layers = vec![("states".into(), vec![0.25, 0.5]), ("actions".into(), vec![0.75, 0.5])];
        for content in [
            Content::Curves(vec![series.clone(), Series { steps: true, ..series }]),
            Content::Intervals(vec![bar]),
            Content::Shares { x: vec![0.0, 1.0], layers },
        ] {
            let chart = chart(content);
            let (page, alone) = (chart.svg(Ink::Page), chart.svg(Ink::Alone));
            assert!(page.contains("var(--c") && !alone.contains("var("));
            assert!(alone.contains("A &lt; B") && !alone.contains("NaN"));
            crate::plot::png::from_svg(&alone).expect("a picture");
        }
    }

    #[test]
    fn charts_of_nothing_are_drawn_too() {
        let empty = chart(Content::Curves(Vec::new())).svg(Ink::Alone);
        assert!(empty.ends_with("</svg>") && !empty.contains("NaN") && !empty.contains("inf"));
    }
}
