//! Every kind of chart, what is where in it, and its legends.

use super::*;
use crate::chart::png;

fn of(content: Content) -> Chart {
    let labels = ("steps".into(), "return".into());
    Chart { title: "A < B".into(), labels, content, reference: Some((1.0, "goal".into())), range: None }
}

fn series(name: &str, points: &[(f64, f64)]) -> Series {
    Series { name: name.into(), points: points.to_vec(), ..Series::default() }
}

#[test]
fn every_kind_is_drawn_alone_and_in_a_page() {
    let with_band =
        Series { band: vec![(0.5, 1.5), (2.0, 4.0)], ..series("a2c", &[(0.0, 1.0), (10.0, 3.0)]) };
    let bar = Bar { name: "a2c".into(), colour: 1, interval: (0.1, 0.2, 0.4) };
    let layers = vec![("states".into(), vec![0.25, 0.5]), ("actions".into(), vec![0.75, 0.5])];
    for content in [
        Content::Curves(vec![with_band.clone(), Series { steps: true, ..with_band }]),
        Content::Intervals(vec![bar]),
        Content::Shares { x: vec![0.0, 1.0], layers },
        Content::Curves(Vec::new()),
    ] {
        let chart = of(content);
        let (page, alone) = (chart.svg(Ink::Page), chart.svg(Ink::Alone));
        assert!(page.contains("var(--") && !page.contains('#') && !alone.contains("var("));
        assert!(alone.contains("A &lt; B") && !alone.contains("NaN") && !alone.contains("inf"));
        assert!(alone.contains("prefers-color-scheme:dark") && !alone.contains("href"));
        png::from_svg(&alone).expect("a picture");
    }
}

/// The x of the only dot, and the x and text of the ticks.
fn placed(svg: &str) -> (f64, Vec<(f64, String)>) {
    let number = |text: &str| text.split('"').next().expect("a number").parse::<f64>().expect("a number");
    let dot = svg.split("<circle cx=\"").nth(1).map(number).expect("a dot");
    let texts = svg.split("<text x=\"").skip(1).filter(|text| text.contains("text-anchor=\"middle\""));
    let ticks = texts
        .map(|text| {
            let label = text.split('>').nth(1).and_then(|t| t.split('<').next()).expect("a label");
            (number(text), label.to_owned())
        })
        .filter(|(_, label)| label.parse::<f64>().is_ok());
    (dot, ticks.collect())
}

#[test]
fn a_single_point_is_drawn_where_it_is() {
    let chart = of(Content::Curves(vec![
        series("training", &[(0.0, 1.0), (1000.0, 2.0)]),
        series("validation", &[(1500.0, 1.5)]),
    ]));
    let (dot, ticks) = placed(&chart.svg(Ink::Alone));
    let labels: Vec<&str> = ticks.iter().map(|(_, label)| label.as_str()).collect();
    assert_eq!(labels, ["0", "500", "1000", "1500"]);
    let (zero, thousand) = (ticks[0].0, ticks[2].0);
    assert!((dot - (zero + 1.5 * (thousand - zero))).abs() < 0.2, "{dot} {ticks:?}");
}

#[test]
fn a_reference_is_named_in_the_legend_and_nowhere_over_the_curves() {
    let svg = of(Content::Curves(vec![series("a2c", &[(0.0, 1.0), (9.0, 1.0)])])).svg(Ink::Alone);
    let y = |part: &str| -> f64 {
        let before = svg.split(part).next().expect("before").rsplit(" y=\"").next().expect("y");
        before.split('"').next().expect("a number").parse().expect("a number")
    };
    assert!(y(">goal<") < y(">return<") && svg.matches(">goal<").count() == 1);
}

#[test]
fn a_sheet_has_one_legend() {
    let panel = |title: &str| {
        let curves = vec![series("relax-a2c: mean of 3 runs", &[(0.0, 1.0), (9.0, 2.0)])];
        Chart { title: title.into(), ..of(Content::Curves(curves)) }
    };
    let sheet = Sheet {
        title: "Two".into(),
        notes: vec![
            "A note that is too long for a single line of a drawing as narrow as this one is.".into(),
        ],
        charts: vec![panel("above"), panel("below")],
    };
    let svg = sheet.svg(Ink::Alone);
    assert_eq!(svg.matches("relax-a2c: mean of 3 runs").count(), 1);
    assert!(svg.contains(">above<") && svg.contains(">below<") && svg.contains("A note"));
    png::from_svg(&svg).expect("a picture");
}
