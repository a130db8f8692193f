//! One palette for every picture: an agent or estimator has the same colour wherever it is drawn.

/// Colours on a light ground: those of Okabe & Ito 2008, which people with colour-blindness can tell apart (their yellow
/// darkened), and three more.
pub const LIGHT: [&str; 10] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#7a5195", "#6b6b6b", "#8a5a2b",
    "#222222",
];
/// The same on a dark ground.
pub const DARK: [&str; 10] = [
    "#4aa3e0", "#ff8a3d", "#2fc99a", "#e8a0c8", "#e0b83a", "#8fd0f5", "#b48fd6", "#a0a0a0", "#c99a6b",
    "#e4e7eb",
];

/// The colours of known agents and estimators.
const OWN: [(&str, usize); 16] = [
    ("relax-a2c", 0),
    ("a2c", 1),
    ("reinforce", 2),
    ("ddpg", 3),
    ("relax-ddpg", 4),
    ("relax", 0),
    ("lax", 0),
    ("rebar", 1),
    ("relaxed-rebar", 3),
    ("disarm", 4),
    ("loo", 5),
    ("leave-one-out", 5),
    ("baseline", 6),
    ("concrete", 7),
    ("muprop", 8),
    ("nvil", 9),
];
/// In which order other names take what is free: first what no known agent has.
const FREE: [usize; 10] = [5, 6, 8, 9, 7, 3, 4, 2, 1, 0];

/// A colour for each of `kinds` (names of agents or estimators), different as long as there are enough: the first of a known
/// kind has that kind's, all others take what is left.
///
/// ```
/// use relax_lab::chart::palette::colours;
/// assert_eq!(colours(["a2c", "relax-a2c"]), [1, 0]);
/// assert_eq!(colours(["sb3", "a2c", "a2c"]), [5, 1, 6]);
/// ```
#[must_use]
pub fn colours<'a>(kinds: impl IntoIterator<Item = &'a str>) -> Vec<usize> {
    let own = |kind: &str| OWN.iter().find(|(name, _)| *name == kind).map(|(_, colour)| *colour);
    let mut taken: Vec<usize> = Vec::new();
    let mut found: Vec<Option<usize>> = Vec::new();
    for kind in kinds {
        let colour = own(kind).filter(|colour| !taken.contains(colour));
        taken.extend(colour);
        found.push(colour);
    }
    let mut free =
        FREE.iter().copied().filter(|colour| !taken.contains(colour)).collect::<Vec<_>>().into_iter();
    let mut again = FREE.iter().copied().cycle();
    found
        .into_iter()
        .map(|colour| colour.or_else(|| free.next()).or_else(|| again.next()).unwrap_or(0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_keep_their_colours_and_all_differ_while_there_are_enough() {
        let estimators = [
            "reinforce",
            "baseline",
            "leave-one-out",
            "disarm",
            "muprop",
            "concrete",
            "rebar",
            "relax",
            "relaxed-rebar",
            "nvil",
        ];
        let mut found = colours(estimators);
        assert_eq!(found[0], colours(["x", "reinforce"])[1]);
        found.sort_unstable();
        assert_eq!(found, (0..10).collect::<Vec<_>>());
        let mut many = colours(vec!["a2c"; 10]);
        assert_eq!(many[0], 1);
        many.sort_unstable();
        assert_eq!(many, (0..10).collect::<Vec<_>>());
        assert_eq!(colours(vec!["own"; 23]).len(), 23);
    }
}
