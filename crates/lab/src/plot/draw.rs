//! Drawing a figure with plotters.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Curve, Figure};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const WIDTH: u32 = 960;
const RETURN_HEIGHT: u32 = 440;
const RATIO_HEIGHT: u32 = 270;
const FONT: &str = "sans-serif";
/// Height of the title, with its air.
const HEADER_HEIGHT: u32 = 62;
/// Height of one line of the legend.
const LEGEND_ROW: u32 = 24;
/// Where the y-axes stand, and title and legend begin.
const LEFT: i32 = 90;
const TITLE_SIZE: u32 = 22;
const LABEL_SIZE: u32 = 17;
const TICK_SIZE: u32 = 15;
const BAND_OPACITY: f64 = 0.2;
const GREY: RGBColor = RGBColor(110, 110, 110);
/// Colours that people with colour-blindness can tell apart (Okabe & Ito 2008).
pub(crate) const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// The figure as the text of an SVG file.
pub(super) fn svg(figure: &Figure) -> Result<String> {
    let mut text = String::new();
    let two_panels = !figure.variance_ratios.is_empty();
    let header = HEADER_HEIGHT + LEGEND_ROW * figure.returns.len() as u32;
    let height = header + RETURN_HEIGHT + if two_panels { RATIO_HEIGHT } else { 0 };
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        let (header, panels) = root.split_vertically(header);
        let (upper, lower) = panels.split_vertically(RETURN_HEIGHT);
        draw_header(&header, figure)?;

        let all = figure.returns.iter().chain(&figure.variance_ratios).flat_map(|curve| &curve.points);
        let end = all.map(|point| point.env_steps).fold(0.0, f64::max);
        let end = if end > 0.0 { end } else { 1.0 };
        let reference = figure.threshold.map(|value| (value, format!("solved: {value}")));
        let y_range = range(&figure.returns, figure.threshold);
        draw_panel(
            &upper,
            figure,
            &figure.returns,
            "return (mean of last 100 episodes)",
            end,
            y_range,
            reference,
        )?;
        if two_panels {
            let reference = Some((1.0, "A2C: 1".to_owned()));
            let y_range = (0.0, range(&figure.variance_ratios, Some(1.0)).1);
            let label = "variance ratio to A2C";
            draw_panel(&lower, figure, &figure.variance_ratios, label, end, y_range, reference)?;
        }
        root.present()?;
    }
    Ok(text)
}

/// The title and, for both panels, the legend: above the curves, so that it never hides one.
fn draw_header(area: &Panel<'_>, figure: &Figure) -> Result<()> {
    let title = (FONT, TITLE_SIZE).into_font().style(FontStyle::Bold).color(&BLACK);
    area.draw_text(&format!("Learning curves on {}", figure.env), &title, (LEFT, 14))?;
    let style = (FONT, TICK_SIZE).into_font().color(&BLACK);
    for (row, (curve, colour)) in figure.returns.iter().zip(colours(&figure.returns)).enumerate() {
        let y = (HEADER_HEIGHT + LEGEND_ROW * row as u32) as i32;
        area.draw(&PathElement::new([(LEFT, y), (LEFT + 26, y)], colour.stroke_width(3)))?;
        let label = match (curve.runs, curve.goes_on_to) {
            (1, _) => format!("{}: one run", curve.label),
            (runs, None) => {
                format!("{}: mean of {runs} runs, band from the lowest to the highest", curve.label)
            }
            (runs, Some(last)) => format!(
                "{}: mean of {runs} runs, to where the first of them ends (the last ends at {}), band from the lowest to the highest",
                curve.label,
                steps_label(last)
            ),
        };
        area.draw_text(&label, &style, (LEFT + 36, y - 8))?;
    }
    Ok(())
}

/// One panel: axes, an optional dashed reference line with its name, the curves with their bands.
fn draw_panel(
    panel: &Panel<'_>,
    figure: &Figure,
    curves: &[Curve],
    y_label: &str,
    end: f64,
    (low, high): (f64, f64),
    reference: Option<(f64, String)>,
) -> Result<()> {
    let mut chart = ChartBuilder::on(panel)
        .margin(12)
        .margin_right(28)
        .x_label_area_size(48)
        .y_label_area_size(LEFT - 12)
        .build_cartesian_2d(0.0..end, low..high)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.1))
        .x_desc("environment steps")
        .y_desc(y_label)
        .axis_desc_style((FONT, LABEL_SIZE))
        .label_style((FONT, TICK_SIZE))
        .x_labels(8)
        .y_labels(7)
        .x_label_formatter(&|steps| steps_label(*steps))
        .y_label_formatter(&|value| number_label(*value, high - low))
        .draw()?;

    let palette = colours(&figure.returns);
    let colour_of = |curve: &Curve| {
        let place = figure.returns.iter().position(|other| other.label == curve.label);
        place.map_or(GREY, |index| palette[index])
    };
    for curve in curves.iter().filter(|curve| curve.runs > 1) {
        let upper = curve.points.iter().map(|point| (point.env_steps, point.high));
        let lower = curve.points.iter().rev().map(|point| (point.env_steps, point.low));
        let outline: Vec<(f64, f64)> = upper.chain(lower).collect();
        chart.draw_series([Polygon::new(outline, colour_of(curve).mix(BAND_OPACITY))])?;
    }
    if let Some((value, name)) = reference {
        chart.draw_series(DashedLineSeries::new([(0.0, value), (end, value)], 6, 5, GREY.stroke_width(1)))?;
        let style = (FONT, TICK_SIZE).into_font().color(&GREY);
        chart.draw_series([Text::new(name, (0.008 * end, value - 0.012 * (high - low)), style)])?;
    }
    for curve in curves {
        let line = curve.points.iter().map(|point| (point.env_steps, point.mean));
        chart.draw_series(LineSeries::new(line, colour_of(curve).stroke_width(2)))?;
    }
    Ok(())
}

/// One colour for each agent kind, always the same for the known ones; further curves of one kind take unused colours.
fn colours(curves: &[Curve]) -> Vec<RGBColor> {
    let mut free: Vec<RGBColor> = PALETTE.to_vec();
    let mut chosen = Vec::new();
    for curve in curves {
        let own = match curve.agent.as_str() {
            "relax-a2c" => PALETTE[0],
            "a2c" => PALETTE[1],
            "reinforce" => PALETTE[2],
            _ => PALETTE[3],
        };
        let colour = if free.contains(&own) { own } else { free.first().copied().unwrap_or(GREY) };
        free.retain(|other| *other != colour);
        chosen.push(colour);
    }
    chosen
}

/// The y-axis: everything the curves and their bands reach, the reference line included, with a little air.
fn range(curves: &[Curve], reference: Option<f64>) -> (f64, f64) {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let low = points().map(|point| point.low).chain(reference).fold(f64::INFINITY, f64::min);
    let high = points().map(|point| point.high).chain(reference).fold(f64::NEG_INFINITY, f64::max);
    if !(low.is_finite() && high.is_finite()) {
        return (0.0, 1.0);
    }
    let air = 0.04 * (high - low).max(1e-6 * (1.0 + high.abs()));
    // Returns that are never negative have their axis begin at zero.
    (if low >= 0.0 { 0.0 } else { low - air }, high + air)
}

/// 0, 250k, 1.5M.
pub(crate) fn steps_label(steps: f64) -> String {
    match steps.abs() {
        size if size >= 1e6 => format!("{}M", (steps / 1e4).round() / 100.0),
        size if size >= 1e3 => format!("{}k", (steps / 10.0).round() / 100.0),
        _ => format!("{steps:.0}"),
    }
}

/// As many decimals as an axis of this span needs.
pub(crate) fn number_label(value: f64, span: f64) -> String {
    let decimals = if span >= 20.0 {
        0
    } else if span >= 2.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::super::Point;
    use super::*;

    fn curve(agent: &str, runs: usize) -> Curve {
        let points = (0..5)
            .map(|i| Point { env_steps: f64::from(i) * 1e5, low: 1.0, mean: f64::from(i) + 2.0, high: 9.0 })
            .collect();
        Curve { label: agent.into(), agent: agent.into(), runs, points, goes_on_to: None }
    }

    #[test]
    fn both_panels_are_labelled_and_need_nothing_from_outside() {
        let returns = vec![curve("relax-a2c", 3), curve("a2c", 1)];
        let variance_ratios = vec![curve("relax-a2c", 3)];
        let figure = Figure { env: "X-v0".into(), threshold: Some(475.0), returns, variance_ratios };
        let text = svg(&figure).expect("draws");
        for part in [
            "environment steps",
            "return (mean of last 100",
            "variance ratio",
            "solved: 475",
            "mean of 3 runs",
        ] {
            assert!(text.contains(part), "{part}");
        }
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
        assert!(!text.contains("href"), "self-contained");
    }

    #[test]
    fn known_agents_keep_their_colours_and_twins_differ() {
        let found = colours(&[curve("a2c", 1), curve("relax-a2c", 1), curve("a2c", 1)]);
        assert_eq!(found[..2], [PALETTE[1], PALETTE[0]]);
        assert!(found[2] != found[0] && found[2] != found[1]);
        assert_eq!(colours(&vec![curve("a2c", 1); 9]).len(), 9);
    }

    #[test]
    fn labels_are_short() {
        assert_eq!([0.0, 500.0, 250_000.0, 1.5e6].map(steps_label), ["0", "500", "250k", "1.5M"]);
        assert_eq!(number_label(-123.4, 400.0), "-123");
        assert_eq!(number_label(0.25, 1.0), "0.25");
    }
}
