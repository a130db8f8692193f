//! The drawing itself: from top to bottom, each part where the one above it ends.

use std::fmt::Write as _;

use super::axis::Axis;
use super::palette::{DARK, LIGHT};
use super::text::{escape, shorten, width, wrap};
use super::{Bar, Chart, Content, Coordinate, Ink, Series, Sheet, Trace};

const WIDTH: f64 = 400.0;
/// How large a drawing alone is shown, where nothing else says so.
const SHOWN: f64 = 1.25;
/// Air at the edges.
const PAD: f64 = 12.0;
const RIGHT: f64 = WIDTH - 14.0;
const PLOT_HEIGHT: f64 = 230.0;
const TITLE: f64 = 15.0;
const LETTER: f64 = 14.0;
const SMALL: f64 = 13.0;
/// From one line of letters to the next.
const LINE: f64 = 19.0;
/// Of a line with an interval; and of its name, where that stands above it.
const BAR: f64 = 26.0;

/// What a line or an area is drawn in.
#[derive(Debug, Clone, Copy)]
enum Paint {
    Series(usize),
    Text,
    Soft,
    Grid,
    Paper,
}

impl Paint {
    /// Its name in classes and variables, and its colour on light and on dark ground.
    fn of(self) -> (String, &'static str, &'static str) {
        match self {
            Self::Series(index) => {
                let index = index % LIGHT.len();
                (format!("c{index}"), LIGHT[index], DARK[index])
            }
            Self::Text => ("fg".into(), "#222222", "#e4e7eb"),
            Self::Soft => ("soft".into(), "#5b6470", "#9aa4b0"),
            Self::Grid => ("grid".into(), "#dfe3e8", "#333b45"),
            Self::Paper => ("paper".into(), "#ffffff", "#14171c"),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..LIGHT.len()).map(Self::Series).chain([Self::Text, Self::Soft, Self::Grid, Self::Paper])
    }
}

/// One entry of a legend.
#[derive(Debug, Clone, Copy)]
enum Key {
    Area(usize),
    Dashes,
}

pub(super) fn chart(chart: &Chart, ink: Ink) -> String {
    let mut canvas = Canvas { text: String::new(), ink, y: PAD };
    canvas.heading(&chart.title, TITLE);
    canvas.legend(&chart.legend(), chart);
    canvas.plot(chart);
    canvas.finish(&chart.title)
}

pub(super) fn sheet(sheet: &Sheet, ink: Ink) -> String {
    let mut canvas = Canvas { text: String::new(), ink, y: PAD };
    canvas.heading(&sheet.title, TITLE);
    for line in sheet.notes.iter().flat_map(|note| wrap(note, SMALL, WIDTH - 2.0 * PAD)) {
        canvas.line_of_text(&line, SMALL, Paint::Soft);
    }
    let mut names: Vec<(&str, usize)> = Vec::new();
    for name in sheet.charts.iter().flat_map(Chart::legend) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    canvas.keys(&names.iter().map(|(name, colour)| (*name, Key::Area(*colour))).collect::<Vec<_>>());
    for chart in &sheet.charts {
        canvas.y += 8.0;
        canvas.heading(&chart.title, LETTER);
        canvas.legend(&[], chart);
        canvas.plot(chart);
    }
    canvas.finish(&sheet.title)
}

/// A drawing under way, and how far down it has come.
struct Canvas {
    text: String,
    ink: Ink,
    y: f64,
}

impl Canvas {
    fn finish(self, title: &str) -> String {
        let height = self.y + 8.0;
        let (shown, before) = match self.ink {
            Ink::Page => (1.0, String::new()),
            Ink::Alone => {
                let dark: String = Paint::all()
                    .map(Paint::of)
                    .map(|(name, _, dark)| format!(".f-{name}{{fill:{dark}}}.s-{name}{{stroke:{dark}}}"))
                    .collect();
                let paper = self.fill(Paint::Paper);
                let style = format!("<style>@media(prefers-color-scheme:dark){{{dark}}}</style>");
                (SHOWN, format!("{style}<rect width=\"{WIDTH}\" height=\"{height:.0}\" {paper}/>"))
            }
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{:.0}\" height=\"{:.0}\" \
             role=\"img\" aria-label=\"{}\" font-family=\"sans-serif\">{before}{}</svg>",
            shown * WIDTH,
            shown * height,
            escape(title),
            self.text
        )
    }

    fn fill(&self, paint: Paint) -> String {
        let (name, light, _) = paint.of();
        match self.ink {
            Ink::Page => format!("fill=\"var(--{name})\""),
            Ink::Alone => format!("class=\"f-{name}\" fill=\"{light}\""),
        }
    }

    fn stroke(&self, paint: Paint) -> String {
        let (name, light, _) = paint.of();
        match self.ink {
            Ink::Page => format!("fill=\"none\" stroke=\"var(--{name})\""),
            Ink::Alone => format!("fill=\"none\" class=\"s-{name}\" stroke=\"{light}\""),
        }
    }

    fn write(&mut self, x: f64, y: f64, anchor: &str, size: f64, paint: Paint, text: &str) {
        let fill = self.fill(paint);
        let _ = write!(
            self.text,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" {fill}>{}</text>",
            escape(text)
        );
    }

    fn heading(&mut self, title: &str, size: f64) {
        for line in wrap(title, 1.08 * size, WIDTH - 2.0 * PAD) {
            let fill = self.fill(Paint::Text);
            let _ = write!(
                self.text,
                "<text x=\"{PAD}\" y=\"{:.1}\" font-size=\"{size}\" font-weight=\"bold\" {fill}>{}</text>",
                self.y + size - 1.0,
                escape(&line)
            );
            self.y += LINE;
        }
    }

    fn line_of_text(&mut self, text: &str, size: f64, paint: Paint) {
        self.write(PAD, self.y + size - 1.0, "start", size, paint, text);
        self.y += LINE - 1.0;
    }

    /// The legend of a chart: its series, and its reference line.
    fn legend(&mut self, names: &[(&str, usize)], chart: &Chart) {
        let mut keys: Vec<(&str, Key)> = names.iter().map(|(name, c)| (*name, Key::Area(*c))).collect();
        let reference = chart.reference.iter().map(|(_, name)| name.as_str());
        keys.extend(reference.filter(|name| !name.is_empty()).map(|name| (name, Key::Dashes)));
        self.keys(&keys);
    }

    /// As many entries in a row as fit; one that is too long for a row is broken into lines.
    fn keys(&mut self, keys: &[(&str, Key)]) {
        const SWATCH: f64 = 20.0;
        const GAP: f64 = 16.0;
        let most = WIDTH - 2.0 * PAD - SWATCH;
        let mut x = PAD;
        for (name, key) in keys {
            let lines = wrap(name, LETTER, most);
            let widest = lines.iter().map(|line| width(line, LETTER)).fold(0.0, f64::max);
            if x > PAD && x + SWATCH + widest > WIDTH - PAD {
                self.y += LINE;
                x = PAD;
            }
            let y = self.y + LETTER - 1.0;
            match key {
                Key::Area(colour) => {
                    let fill = self.fill(Paint::Series(*colour));
                    let _ = write!(
                        self.text,
                        "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"14\" height=\"9\" rx=\"2\" {fill}/>",
                        y - 9.5
                    );
                }
                Key::Dashes => self.dashes((x - 1.0, y - 5.0), (x + 15.0, y - 5.0)),
            }
            for (i, line) in lines.iter().enumerate() {
                self.write(x + SWATCH, y + LINE * i as f64, "start", LETTER, Paint::Text, line);
            }
            let more = lines.len().saturating_sub(1);
            self.y += LINE * more as f64;
            x = if more > 0 { WIDTH } else { x + SWATCH + widest + GAP };
        }
        if !keys.is_empty() {
            self.y += LINE;
        }
    }

    fn grid_line(&mut self, from: (f64, f64), to: (f64, f64)) {
        let stroke = self.stroke(Paint::Grid);
        let _ =
            write!(self.text, "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" {stroke}/>", from.0, from.1, to.0, to.1);
    }

    fn dashes(&mut self, from: (f64, f64), to: (f64, f64)) {
        let stroke = self.stroke(Paint::Soft);
        let _ = write!(
            self.text,
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" {stroke} stroke-width=\"1.5\" stroke-dasharray=\"5 3\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    fn plot(&mut self, chart: &Chart) {
        match &chart.content {
            Content::Curves(series) => self.curves(chart, series),
            Content::Intervals(bars) => self.intervals(chart, bars),
            Content::Shares { x, layers } => self.shares(chart, x, layers),
            Content::Parallel { coordinates, traces, .. } => self.parallel(coordinates, traces),
        }
    }

    /// The axes of a plot that begins here; afterwards `self.y` is below their labels. Returns its left edge and its top.
    fn axes(&mut self, x: &Axis, y: &Axis, labels: &(String, String)) -> (f64, f64) {
        for line in wrap(&labels.1, SMALL, WIDTH - 2.0 * PAD) {
            self.line_of_text(&line, SMALL, Paint::Soft);
        }
        let top = self.y + 7.0;
        let ticks = y.ticks();
        let widest = ticks.iter().map(|tick| width(&y.label(*tick), SMALL)).fold(0.0, f64::max);
        let left = PAD + widest + 6.0;
        for value in ticks {
            let at = y.place(value, top + PLOT_HEIGHT, top);
            self.grid_line((left, at), (RIGHT, at));
            self.write(left - 6.0, at + 4.5, "end", SMALL, Paint::Soft, &y.label(value));
        }
        self.upright_grid(x, (left, top, top + PLOT_HEIGHT), &labels.0);
        (left, top)
    }

    fn upright_grid(&mut self, x: &Axis, (left, top, bottom): (f64, f64, f64), label: &str) {
        for value in x.ticks() {
            let at = x.place(value, left, RIGHT);
            self.grid_line((at, top), (at, bottom));
            let text = x.label(value);
            // No letters beyond the edge.
            let half = 0.5 * width(&text, SMALL);
            let centre = at.min(WIDTH - 3.0 - half).max(3.0 + half);
            self.write(centre, bottom + 17.0, "middle", SMALL, Paint::Soft, &text);
        }
        let label = shorten(label, SMALL, WIDTH - 2.0 * PAD);
        let half = 0.5 * width(&label, SMALL);
        let centre = (0.5 * (left + RIGHT)).min(WIDTH - PAD - half).max(PAD + half);
        self.write(centre, bottom + 36.0, "middle", SMALL, Paint::Soft, &label);
        self.y = bottom + 42.0;
    }

    fn curves(&mut self, chart: &Chart, series: &[Series]) {
        let points = || series.iter().flat_map(|s| &s.points);
        let x = Axis::over(points().map(|p| p.0), Some((0.0, 0.0)));
        let bands = series.iter().flat_map(|s| &s.band).flat_map(|b| [b.0, b.1]);
        let values = points().map(|p| p.1).chain(bands).chain(chart.reference.iter().map(|r| r.0));
        let y = chart.range.map_or_else(|| Axis::over(values, None), |(low, high)| Axis::fixed(low, high));
        let (left, top) = self.axes(&x, &y, &chart.labels);
        let (px, py) = (|v: f64| x.place(v, left, RIGHT), |v: f64| y.place(v, top + PLOT_HEIGHT, top));
        for s in series.iter().filter(|s| s.band.len() == s.points.len() && s.points.len() > 1) {
            let upper = s.points.iter().zip(&s.band).map(|(p, b)| (p.0, b.1));
            let lower = s.points.iter().zip(&s.band).rev().map(|(p, b)| (p.0, b.0));
            let outline: Vec<(f64, f64)> = upper.chain(lower).map(|(x, y)| (px(x), py(y))).collect();
            let fill = self.fill(Paint::Series(s.colour));
            let _ = write!(self.text, "<path d=\"{}Z\" {fill} fill-opacity=\"0.18\"/>", path(&outline));
        }
        if let Some((value, _)) = &chart.reference {
            self.dashes((left, py(*value)), (RIGHT, py(*value)));
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
            if let [(x, y)] = line.as_slice() {
                let (low, high) = s.band.first().copied().unwrap_or((s.points[0].1, s.points[0].1));
                self.dot(*x, *y, s.colour);
                let stroke = self.stroke(Paint::Series(s.colour));
                let _ = write!(
                    self.text,
                    "<path d=\"M{x:.1} {:.1}V{:.1}\" {stroke} stroke-width=\"2\" stroke-opacity=\"0.5\"/>",
                    py(low),
                    py(high)
                );
                continue;
            }
            let stroke = self.stroke(Paint::Series(s.colour));
            let dashes = if s.dashed { " stroke-dasharray=\"6 4\"" } else { "" };
            let _ = write!(
                self.text,
                "<path d=\"{}\" {stroke} stroke-width=\"2\" stroke-linejoin=\"round\"{dashes}/>",
                path(&line)
            );
        }
    }

    fn dot(&mut self, x: f64, y: f64, colour: usize) {
        let fill = self.fill(Paint::Series(colour));
        let _ = write!(self.text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\" {fill}/>");
    }

    fn intervals(&mut self, chart: &Chart, bars: &[Bar]) {
        let widest = bars.iter().map(|bar| width(&bar.name, LETTER)).fold(0.0, f64::max);
        // Names stand before their intervals; long ones above them.
        let above = widest > 0.45 * WIDTH;
        let left = if above { PAD + 4.0 } else { PAD + widest + 12.0 };
        let row = if above { BAR + LINE } else { BAR };
        let values = bars.iter().flat_map(|b| [b.interval.0, b.interval.1, b.interval.2]);
        let values = values.chain(chart.reference.iter().map(|r| r.0));
        let x = chart.range.map_or_else(|| Axis::over(values, None), |(low, high)| Axis::fixed(low, high));
        let px = |v: f64| x.place(v, left, RIGHT);
        let (top, plot) = (self.y + 2.0, row * bars.len() as f64 + 6.0);
        self.upright_grid(&x, (left, top, top + plot), &chart.labels.0);
        if let Some((value, _)) = &chart.reference {
            self.dashes((px(*value), top), (px(*value), top + plot));
        }
        for (i, bar) in bars.iter().enumerate() {
            let y = top + row * (i + 1) as f64 - 9.0;
            let (low, point, high) = bar.interval;
            if above {
                let name = shorten(&bar.name, LETTER, RIGHT - left);
                self.write(left, y - 12.0, "start", LETTER, Paint::Text, &name);
            } else {
                self.write(left - 10.0, y + 5.0, "end", LETTER, Paint::Text, &bar.name);
            }
            let fill = self.fill(Paint::Series(bar.colour));
            let _ = write!(
                self.text,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"10\" rx=\"3\" {fill} fill-opacity=\"0.35\"/>",
                px(low),
                y - 5.0,
                (px(high) - px(low)).max(1.0)
            );
            self.dot(px(point), y, bar.colour);
        }
    }

    fn shares(&mut self, chart: &Chart, x_values: &[f64], layers: &[(String, Vec<f64>)]) {
        let (x, y) = (Axis::over(x_values.iter().copied(), Some((0.0, 0.0))), Axis::fixed(0.0, 1.0));
        let (left, top) = self.axes(&x, &y, &chart.labels);
        let (px, py) = (|v: f64| x.place(v, left, RIGHT), |v: f64| y.place(v, top + PLOT_HEIGHT, top));
        let mut below = vec![0.0; x_values.len()];
        for (colour, (_, shares)) in layers.iter().enumerate() {
            let above: Vec<f64> = below.iter().zip(shares).map(|(b, s)| b + s.max(0.0)).collect();
            let forth = x_values.iter().zip(&above).map(|(&x, &y)| (px(x), py(y)));
            let back = x_values.iter().zip(&below).rev().map(|(&x, &y)| (px(x), py(y)));
            let outline: Vec<(f64, f64)> = forth.chain(back).collect();
            let fill = self.fill(Paint::Series(colour));
            let _ = write!(self.text, "<path d=\"{}Z\" {fill} fill-opacity=\"0.55\"/>", path(&outline));
            below = above;
        }
    }
}

impl Canvas {
    /// Axes below one another, as a phone has room for them, each with its name above and its ticks below.
    fn parallel(&mut self, coordinates: &[Coordinate], traces: &[Trace]) {
        const STEP: f64 = 58.0;
        let (left, right, top) = (PAD + 6.0, RIGHT - 6.0, self.y + 24.0);
        let at = |row: usize| top + STEP * row as f64;
        for trace in traces {
            let line: Vec<(f64, f64)> = trace
                .places
                .iter()
                .enumerate()
                .map(|(row, place)| (left + place.clamp(0.0, 1.0) * (right - left), at(row)))
                .collect();
            let stroke = self.stroke(Paint::Series(trace.colour));
            let (width, opacity) = if trace.strong { (3.0, 1.0) } else { (1.2, 0.55) };
            let _ = write!(
                self.text,
                "<path d=\"{}\" {stroke} stroke-width=\"{width}\" stroke-opacity=\"{opacity}\" stroke-linejoin=\"round\"/>",
                path(&line)
            );
        }
        for (row, coordinate) in coordinates.iter().enumerate() {
            let y = at(row);
            let stroke = self.stroke(Paint::Soft);
            let _ = write!(self.text, "<path d=\"M{left:.1} {y:.1}H{right:.1}\" {stroke}/>");
            let name = shorten(&coordinate.name, LETTER, right - left);
            self.write(left, y - 7.0, "start", LETTER, Paint::Text, &name);
            let most = coordinate.ticks.len().saturating_sub(1).max(1);
            let room = (right - left) / most as f64 - 4.0;
            for (i, tick) in coordinate.ticks.iter().enumerate() {
                let x = left + (right - left) * i as f64 / most as f64;
                let stroke = self.stroke(Paint::Soft);
                let _ = write!(self.text, "<path d=\"M{x:.1} {:.1}V{:.1}\" {stroke}/>", y - 3.0, y + 3.0);
                let anchor = if i == 0 {
                    "start"
                } else if i == most {
                    "end"
                } else {
                    "middle"
                };
                self.write(x, y + 17.0, anchor, SMALL, Paint::Soft, &shorten(tick, SMALL, room));
            }
        }
        self.y = at(coordinates.len().saturating_sub(1)) + 26.0;
    }
}

fn path(points: &[(f64, f64)]) -> String {
    let mut out = String::new();
    for (i, (x, y)) in points.iter().enumerate() {
        let _ = write!(out, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
    }
    out
}

#[cfg(test)]
mod tests;
