//! Text for people: how many columns there are, and text and tables that fit them.
//!
//! `COLUMNS` wins over what the terminal says, as in other programs. Where neither says anything (a pipe, a file), sentences are
//! wrapped at 80 columns, and what somebody may search, line by line, is left whole: errors, lists, tables, progress.

use std::fmt::Write as _;
use std::io::{Write as _, stderr, stdout};

use terminal_size::{Width, terminal_size_of};
use unicode_width::UnicodeWidthStr;

/// Columns where nobody says how many there are.
pub const USUAL: usize = 80;
/// Fewer than this is taken for a mistake: nothing could be read.
const LEAST: usize = 20;

/// The columns of standard output, if they are known.
#[must_use]
pub fn stdout_columns() -> Option<usize> {
    asked_for().or_else(|| sensible(terminal_size_of(stdout())?.0))
}

/// The columns of standard error, if they are known.
#[must_use]
pub fn stderr_columns() -> Option<usize> {
    asked_for().or_else(|| sensible(terminal_size_of(stderr())?.0))
}

/// Shows sentences for people on standard error; that nobody is there to read them is no reason to stop.
pub fn note(text: &str) {
    let _ = writeln!(stderr(), "{}", wrap(text, stderr_columns().unwrap_or(USUAL)));
}

fn asked_for() -> Option<usize> {
    let columns: u16 = std::env::var("COLUMNS").ok()?.trim().parse().ok()?;
    sensible(Width(columns))
}

fn sensible(Width(columns): Width) -> Option<usize> {
    Some(usize::from(columns)).filter(|&columns| columns >= LEAST)
}

/// `text` with its lines broken at spaces, so that none takes more than `columns`; a word (a path) that is longer stays whole, and
/// so does what stands in backticks, if a line can hold it.
///
/// What goes on in the next line stands below where it began: behind the last gap of two spaces or more, as in lists; behind `#` in
/// comments; else two spaces further in.
///
/// ```
/// use relax_runtime::terminal::wrap;
///
/// assert_eq!(wrap("a2c  advantage actor-critic", 20), "a2c  advantage\n     actor-critic");
/// assert_eq!(wrap("# what this key is for", 12), "# what this\n# key is for");
/// ```
#[must_use]
pub fn wrap(text: &str, columns: usize) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| wrap_line(line, columns)).collect();
    lines.join("\n")
}

fn wrap_line(line: &str, columns: usize) -> String {
    if line.width() <= columns {
        return line.to_owned();
    }
    let head = head(line, columns);
    let next = match line[..head].trim_start().starts_with('#') {
        true => line[..head].to_owned(),
        false => " ".repeat(line[..head].width()),
    };
    // Two spaces further in, unless the line has a place of its own for it.
    let next = if head == line.len() - line.trim_start().len() { format!("{next}  ") } else { next };
    let mut text = line[..head].to_owned();
    let (mut used, mut empty) = (text.width(), true);
    for word in words(&line[head..], columns.saturating_sub(next.width())) {
        let width = word.width();
        if !empty && used + 1 + width > columns {
            text.truncate(text.trim_end().len());
            let _ = write!(text, "\n{next}");
            (used, empty) = (next.width(), true);
        }
        if !empty {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        (used, empty) = (used + width, false);
    }
    text
}

/// Where in the line its text begins: behind the last gap of two spaces or more that lies in the first part, or behind `# `.
fn head(line: &str, columns: usize) -> usize {
    let start = line.len() - line.trim_start().len();
    if line[start..].starts_with("# ") {
        return start + 2;
    }
    let gaps = line[start..].match_indices("  ").map(|(at, _)| start + at);
    let behind = gaps.map(|at| at + (line[at..].len() - line[at..].trim_start().len()));
    behind.filter(|&at| line[..at].width() <= columns * 3 / 5).last().unwrap_or(start)
}

/// The words of `text`; what stands in backticks and takes no more than `columns` is one.
fn words(text: &str, columns: usize) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let plain = rest.find(' ').unwrap_or(rest.len());
        let quoted =
            rest[..plain].find('`').filter(|&at| !rest[at + 1..plain].contains('`')).and_then(|at| {
                let close = at + 1 + rest[at + 1..].find('`')?;
                let end = rest[close..].find(' ').map_or(rest.len(), |space| close + space);
                (rest[..end].width() <= columns).then_some(end)
            });
        let end = quoted.unwrap_or(plain);
        words.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    words
}

/// `rows`, the heading first, as a table: `names` columns flush left, the rest flush right, each as wide as it must be. If that
/// takes more than `columns`, each row's names stand on a line of their own above the rest.
///
/// ```
/// use relax_runtime::terminal::table;
///
/// let rows = [["agent", "return"], ["a2c", "475.0"]].map(|row| row.map(str::to_owned).to_vec());
/// assert_eq!(table(&rows, 1, 80), "agent  return\na2c     475.0\n");
/// assert_eq!(table(&rows, 1, 10), "agent\n  return\na2c\n   475.0\n");
/// ```
#[must_use]
pub fn table(rows: &[Vec<String>], names: usize, columns: usize) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest =
        |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(widest).collect();
    let folded = widths.iter().map(|width| width + 2).sum::<usize>() > columns + 2;
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if folded && at == names {
                let _ = writeln!(text, "{}", line.trim_end());
                line.clear();
            }
            if at > 0 {
                line.push_str("  ");
            }
            let room = " ".repeat(width.saturating_sub(cell.width()));
            match at < names {
                true => line.extend([cell, room.as_str()]),
                false => line.extend([room.as_str(), cell]),
            }
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_longer_than_a_line_stay_whole() {
        let path = "/a/very/long/path/that/nobody/can/break/anywhere";
        let text = wrap(&format!("the folder {path} is full"), 30);
        assert_eq!(text, format!("the folder\n  {path}\n  is full"));
        assert_eq!(wrap(path, 20), path);
    }

    #[test]
    fn a_command_in_backticks_is_not_torn() {
        let text = wrap("say `relax envs list` and see; or (`relax agents`), as you like", 24);
        assert_eq!(text, "say `relax envs list`\n  and see; or\n  (`relax agents`), as\n  you like");
        // One that no line holds is.
        assert_eq!(wrap("`aaaa bbbb cccc dddd eeee ffff`", 20).lines().count(), 2);
        assert_eq!(wrap("a ` alone in a line that is long", 20), "a ` alone in a line\n  that is long");
    }

    #[test]
    fn what_goes_on_stands_below_where_it_began() {
        let text = wrap("  passed   same seed    two fresh copies agree bit for bit", 40);
        assert_eq!(
            text,
            "  passed   same seed    two fresh copies\n                        agree bit for\n                        bit"
        );
        assert_eq!(wrap("short\nlines  stay", 40), "short\nlines  stay");
        assert_eq!(wrap("", 40), "");
        assert_eq!(wrap("hint: do this and then do that", 20), "hint: do this and\n  then do that");
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(wrap("環境 環境 環境 環境", 10), "環境 環境\n  環境\n  環境");
    }

    #[test]
    fn no_line_is_longer_than_it_may_be() {
        let text = "one `two three` four-five  six, sevens (eight) nine # ten eleven ` twelve";
        for columns in 20..90 {
            let wrapped = wrap(text, columns);
            assert!(wrapped.lines().all(|line| line.width() <= columns), "{columns}: {wrapped}");
            let flat = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(flat(&wrapped), flat(text), "{columns}");
        }
    }
}
