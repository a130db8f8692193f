//! The toy problem's figure: loss, θ, log-variance, and the learned relaxations.

use plotters::coord::Shift;
use plotters::prelude::*;
use relax_estimators::{Coupling, Estimator};

use super::{Spread, ToyConfig, ToyPoint, ToyRelaxation, ToyRun};
use relax_runtime::Error;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const WIDTH: u32 = 1120;
const PANEL_HEIGHT: u32 = 360;
const FONT: &str = "sans-serif";
const LEGEND_TOP: u32 = 58;
const LEGEND_ROW: u32 = 24;
const LEGEND_COLUMNS: usize = 3;
const GREY: RGBColor = RGBColor(110, 110, 110);
/// Colours that people with colour-blindness can tell apart (Okabe & Ito 2008), and two more.
const PALETTE: [RGBColor; 9] = [
    RGBColor(0, 0, 0),
    RGBColor(230, 159, 0),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(150, 150, 150),
    RGBColor(160, 110, 50),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
];
/// The log-variance axis ends here: rounding errors below are no variance.
const LOWEST: f64 = -30.0;

/// The figure as SVG text: means over the seeds with their 95 % intervals.
///
/// # Errors
/// If the drawing library fails.
pub fn svg(
    config: &ToyConfig,
    runs: &[ToyRun],
    relaxations: &[ToyRelaxation],
) -> std::result::Result<String, Error> {
    draw(config, runs, relaxations)
        .map_err(|error| Error::runtime(format!("cannot draw the figure: {error}")))
}

/// Mean and 95 % interval at each step.
type Curve = (Estimator, Vec<(f64, Spread)>);

fn curves(config: &ToyConfig, runs: &[ToyRun], number: fn(&ToyPoint) -> f64) -> Vec<Curve> {
    let of = |estimator: Estimator| {
        let runs: Vec<_> = runs.iter().filter(|run| run.estimator == estimator).collect();
        let steps = runs.first().map_or(0, |run| run.points.len());
        let at = |i: usize| {
            let values: Vec<f64> = runs.iter().map(|run| number(&run.points[i])).collect();
            (runs[0].points[i].step as f64, Spread::of(&values))
        };
        (estimator, (0..steps).map(at).collect())
    };
    config.estimators.iter().map(|&estimator| of(estimator)).collect()
}

fn draw(config: &ToyConfig, runs: &[ToyRun], relaxations: &[ToyRelaxation]) -> Result<String> {
    let mut text = String::new();
    let rows = config.estimators.len().div_ceil(LEGEND_COLUMNS) as u32;
    let header = LEGEND_TOP + LEGEND_ROW * rows + 8;
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, header + 2 * PANEL_HEIGHT)).into_drawing_area();
        root.fill(&WHITE)?;
        let (header, panels) = root.split_vertically(header);
        draw_header(&header, config)?;
        let [loss, theta, variance, relaxation]: [Panel<'_>; 4] =
            panels.split_evenly((2, 2)).try_into().map_err(|_| "four panels")?;
        draw_curves(&loss, config, &curves(config, runs, |p| p.loss), "loss E[(b − t)²]", None)?;
        draw_curves(&theta, config, &curves(config, runs, |p| p.theta), "θ", None)?;
        let logs = curves(config, runs, |p| p.log_variance.max(LOWEST));
        draw_curves(&variance, config, &logs, "log-variance of the gradient", Some(LOWEST))?;
        draw_relaxations(&relaxation, config, relaxations)?;
        root.present()?;
    }
    Ok(text)
}

fn draw_header(area: &Panel<'_>, config: &ToyConfig) -> Result<()> {
    let title = (FONT, 22).into_font().style(FontStyle::Bold).color(&BLACK);
    let target = config.target;
    area.draw_text(&format!("Minimise E[(b − {target})²] over b ~ Bernoulli(θ)"), &title, (40, 10))?;
    let style = (FONT, 15).into_font().color(&GREY);
    let runs = match config.seeds {
        1 => "one run".to_owned(),
        n => format!("mean of {n} runs, band: 95 % interval of the mean"),
    };
    area.draw_text(&runs, &style, (40, 36))?;
    let style = (FONT, 15).into_font().color(&BLACK);
    for (i, estimator) in config.estimators.iter().enumerate() {
        let x = 40 + (i % LEGEND_COLUMNS) as i32 * 340;
        let y = (LEGEND_TOP + LEGEND_ROW * (i / LEGEND_COLUMNS) as u32) as i32 + 10;
        area.draw(&PathElement::new([(x, y), (x + 26, y)], colour(config, *estimator).stroke_width(3)))?;
        area.draw_text(label(*estimator), &style, (x + 34, y - 8))?;
    }
    Ok(())
}

fn label(estimator: Estimator) -> &'static str {
    match estimator {
        Estimator::Reinforce => "REINFORCE",
        Estimator::Baseline => "REINFORCE, learned scalar baseline",
        Estimator::LeaveOneOut { .. } => "leave-one-out, 2 samples",
        Estimator::DisArm => "DisARM, 2 samples",
        Estimator::MuProp => "MuProp",
        Estimator::Concrete => "Concrete (biased)",
        Estimator::Rebar(Coupling::Independent) => "REBAR",
        Estimator::Relax(Coupling::Independent) => "RELAX",
        Estimator::RelaxedRebar(Coupling::Independent) => "relaxed-REBAR",
        other => other.name(),
    }
}

fn colour(config: &ToyConfig, estimator: Estimator) -> RGBColor {
    let all = ToyConfig::default().estimators;
    let place = all.iter().chain(&config.estimators).position(|&other| other == estimator).unwrap_or(0);
    PALETTE[place % PALETTE.len()]
}

fn axes<'a>(
    panel: &Panel<'a>,
    (end, low, high): (f64, f64, f64),
    (x_label, y_label): (&str, &str),
) -> Result<
    ChartContext<
        'a,
        SVGBackend<'a>,
        Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
    >,
> {
    let mut chart = ChartBuilder::on(panel)
        .margin(10)
        .margin_right(36)
        .x_label_area_size(46)
        .y_label_area_size(84)
        .build_cartesian_2d(0.0..end, low..high)?;
    let decimals = (1.0 - (high - low).log10().floor()).clamp(0.0, 6.0) as usize;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.1))
        .x_desc(x_label)
        .y_desc(y_label)
        .axis_desc_style((FONT, 16))
        .label_style((FONT, 14))
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|x| if end > 1.0 { format!("{x:.0}") } else { format!("{x:.1}") })
        .y_label_formatter(&|y| format!("{y:.decimals$}"))
        .draw()?;
    Ok(chart)
}

fn draw_curves(
    panel: &Panel<'_>,
    config: &ToyConfig,
    curves: &[Curve],
    y_label: &str,
    lowest: Option<f64>,
) -> Result<()> {
    let points = || curves.iter().flat_map(|(_, points)| points);
    let bottom = points().map(|(_, s)| s.mean - s.half_width).fold(f64::INFINITY, f64::min);
    let top = points().map(|(_, s)| s.mean + s.half_width).fold(f64::NEG_INFINITY, f64::max);
    let air = 0.04 * (top - bottom).max(1e-9);
    let (low, high) = (lowest.map_or(bottom - air, |l| (bottom - air).max(l)), top + air);
    let mut chart = axes(panel, (config.steps as f64, low, high), ("steps", y_label))?;
    for (estimator, points) in curves {
        let colour = colour(config, *estimator);
        let upper = points.iter().map(|(x, s)| (*x, s.mean + s.half_width));
        let lower = points.iter().rev().map(|(x, s)| (*x, (s.mean - s.half_width).max(low)));
        chart.draw_series([Polygon::new(upper.chain(lower).collect::<Vec<_>>(), colour.mix(0.15))])?;
    }
    for (estimator, points) in curves {
        let line = points.iter().map(|(x, s)| (*x, s.mean));
        chart.draw_series(LineSeries::new(line, colour(config, *estimator).stroke_width(2)))?;
    }
    Ok(())
}

/// c(z(u)) of the learned control variates, and the constant that leaves no variance at all.
fn draw_relaxations(panel: &Panel<'_>, config: &ToyConfig, relaxations: &[ToyRelaxation]) -> Result<()> {
    let t = config.target;
    let ideal = 0.5 * ((1.0 - t).powi(2) + t * t);
    let all = || relaxations.iter().flat_map(|r| &r.points).map(|p| p.1).chain([ideal]);
    let (bottom, top) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let air = 0.08 * (top - bottom).max(1e-3);
    let mut chart = axes(panel, (1.0, bottom - air, top + air), ("noise u", "c(z(u)) learned at θ = ½"))?;
    chart.draw_series(DashedLineSeries::new([(0.0, ideal), (1.0, ideal)], 6, 5, GREY.stroke_width(1)))?;
    for relaxation in relaxations {
        let line = relaxation.points.iter().copied();
        chart.draw_series(LineSeries::new(line, colour(config, relaxation.estimator).stroke_width(2)))?;
    }
    Ok(())
}
