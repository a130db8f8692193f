//! Charts as SVG, one engine for every picture of the program: curves with bands, intervals, stacked shares, alone or several
//! on a sheet. One drawing serves two uses ([`Ink`]): inside a page, whose colours it takes, and alone, as a file, where it
//! follows the reader's light or dark theme, or as a PNG.
//!
//! Everything is laid out for a width of 400 units with letters of 14, so that it can be read on a phone.

mod axis;
mod draw;
pub mod palette;
pub mod png;
mod text;

pub use text::escape;

/// Where a drawing is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// In a page that defines the CSS variables `--fg`, `--soft`, `--grid`, `--c0` … `--c9`.
    Page,
    /// Alone: dark on white, and the other way round for readers who prefer it so.
    Alone,
}

/// One curve.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend; series of one name and colour are one entry there.
    pub name: String,
    /// Number of its colour.
    pub colour: usize,
    /// (x, y). A single point is drawn as a dot.
    pub points: Vec<(f64, f64)>,
    /// (low, high) at each point; empty for none.
    pub band: Vec<(f64, f64)>,
    /// Drawn as a staircase.
    pub steps: bool,
    /// Drawn in dashes.
    pub dashed: bool,
}

/// An estimate with its interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Its name.
    pub name: String,
    /// Number of its colour.
    pub colour: usize,
    /// (low, point, high).
    pub interval: (f64, f64, f64),
}

/// An axis of parallel coordinates.
#[derive(Debug, Clone, PartialEq)]
pub struct Coordinate {
    /// What lies along it.
    pub name: String,
    /// What is written at equal distances from its beginning to its end, two or more.
    pub ticks: Vec<String>,
}

/// A line across parallel coordinates.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Where it crosses each of them, from 0 to 1.
    pub places: Vec<f64>,
    /// Number of its colour.
    pub colour: usize,
    /// Whether it is drawn boldly.
    pub strong: bool,
}

/// What a chart shows.
#[derive(Debug, Clone, PartialEq)]
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
    /// Lines across axes that lie below one another.
    Parallel {
        /// The axes.
        coordinates: Vec<Coordinate>,
        /// The lines, those on top last.
        traces: Vec<Trace>,
        /// Entries of the legend: name and colour.
        names: Vec<(String, usize)>,
    },
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What is above it.
    pub title: String,
    /// Names of the axes.
    pub labels: (String, String),
    /// What it shows.
    pub content: Content,
    /// A dashed line across, or for intervals upright, and its name in the legend.
    pub reference: Option<(f64, String)>,
    /// Ends of the axis of values, where they are not to follow from the data.
    pub range: Option<(f64, f64)>,
}

impl Chart {
    /// The chart as the text of an `<svg>` element; alone it is a whole file.
    #[must_use]
    pub fn svg(&self, ink: Ink) -> String {
        draw::chart(self, ink)
    }

    /// Names in the legend, each once, with their colours.
    fn legend(&self) -> Vec<(&str, usize)> {
        let mut names: Vec<(&str, usize)> = Vec::new();
        match &self.content {
            Content::Curves(series) => {
                for s in series.iter().map(|s| (s.name.as_str(), s.colour)) {
                    if !names.contains(&s) {
                        names.push(s);
                    }
                }
            }
            Content::Intervals(_) => {}
            Content::Parallel { names: own, .. } => {
                names.extend(own.iter().map(|(name, colour)| (name.as_str(), *colour)));
            }
            Content::Shares { layers, .. } => {
                names.extend(layers.iter().enumerate().map(|(colour, (name, _))| (name.as_str(), colour)));
            }
        }
        names
    }
}

/// Several charts below one another, under one title and with one legend.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// What is above all.
    pub title: String,
    /// Sentences below it.
    pub notes: Vec<String>,
    /// The charts.
    pub charts: Vec<Chart>,
}

impl Sheet {
    /// The charts as the text of one `<svg>` element.
    #[must_use]
    pub fn svg(&self, ink: Ink) -> String {
        draw::sheet(self, ink)
    }
}
