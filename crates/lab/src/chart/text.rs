//! Text in charts: how wide it is, where its lines break.

/// Text as it may stand in XML and HTML.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Width of `text` in letters `size` high: rather too much, since fonts differ (this is DejaVu Sans, a wide one).
pub(super) fn width(text: &str, size: f64) -> f64 {
    let of = |c: char| match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' => 0.36,
        '(' | ')' | '[' | ']' | '-' | 'r' | '"' => 0.42,
        'm' | 'w' | 'M' | 'W' | '…' => 0.98,
        c if c.is_ascii_digit() => 0.64,
        c if c.is_uppercase() => 0.70,
        c if c.is_alphabetic() => 0.61,
        _ => 0.75,
    };
    size * text.chars().map(of).sum::<f64>()
}

/// `text` in lines no wider than `most`, broken between words; a word that is too wide is cut short, with an ellipsis.
pub(super) fn wrap(text: &str, size: f64, most: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line, size) + width(" ", size) + width(word, size) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(shorten(word, size, most)),
        }
    }
    lines
}

/// `text`, or as much of its beginning as fits, with an ellipsis.
pub(super) fn shorten(text: &str, size: f64, most: f64) -> String {
    if width(text, size) <= most {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        if width(&kept, size) + width("…", size) + width(&c.to_string(), size) > most {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_fit() {
        let text = "MountainCarContinuous-v0: return after training";
        let lines = wrap(text, 15.0, 300.0);
        assert_eq!(lines.join(" "), text);
        assert!(lines.len() == 2 && lines.iter().all(|line| width(line, 15.0) <= 300.0), "{lines:?}");
        let long = wrap(&"x".repeat(200), 14.0, 100.0);
        assert!(long.len() == 1 && long[0].ends_with('…') && width(&long[0], 14.0) <= 100.0);
        assert!(wrap("", 14.0, 10.0).is_empty());
        assert_eq!(escape("A < B & \"C\""), "A &lt; B &amp; &quot;C&quot;");
    }
}
