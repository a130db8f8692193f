//! What commands print: results on standard output, errors and hints on standard error, none of it wider than the terminal
//! ([`terminal`] says what that means where there is none).

use std::io::{self, ErrorKind, IsTerminal, Write};

use relax_runtime::Error;
use relax_runtime::terminal::{self, USUAL, stderr_columns, stdout_columns, wrap};

/// Prints `text`, data, on standard output as it is. A reader that has gone away (`relax … | head`) is not an error.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::io("write", "standard output", error))
        }
        _ => Ok(()),
    }
}

/// Prints sentences for people.
pub(super) fn tell(text: &str) -> Result<(), Error> {
    print(&wrap(text, stdout_columns().unwrap_or(USUAL)))
}

/// Prints a list, a record in a line.
pub(super) fn list(text: &str) -> Result<(), Error> {
    match stdout_columns() {
        Some(columns) => print(&wrap(text, columns)),
        None => print(text),
    }
}

/// A table, for standard output: `rows`, the heading first, their first `names` cells being names.
pub(super) fn table(rows: &[Vec<String>], names: usize) -> String {
    terminal::table(rows, names, stdout_columns().unwrap_or(usize::MAX - 2))
}

/// The columns of help: those of the terminal, but no longer lines than can be read.
pub(super) fn help_columns() -> usize {
    stdout_columns().unwrap_or(USUAL).min(100)
}

/// Prints what clap says of arguments: that they are wrong, or the help they ask for.
pub(super) fn refusal(error: &clap::Error) {
    let text = error.render().to_string();
    match stderr_columns().filter(|_| error.use_stderr()).map(|columns| wrap(&text, columns)) {
        // clap wraps its help, but not its errors.
        Some(wrapped) if wrapped != text => drop(io::stderr().write_all(wrapped.as_bytes())),
        _ => drop(error.print()),
    }
}

/// Prints an error and what to do next, as cargo does.
pub(super) fn error(error: &Error) {
    let colour =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let _ = io::stderr().write_all(format_error(error, colour, stderr_columns()).as_bytes());
}

/// Prints sentences for people on standard error.
pub(super) fn note(text: &str) {
    terminal::note(text);
}

/// The command that the program was called with, as one could type it again: `relax compare …`.
pub(super) fn command_line() -> String {
    let quoted = std::env::args().skip(1).map(|argument| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+".contains(c);
        if !argument.is_empty() && argument.chars().all(plain) {
            argument
        } else {
            format!("'{}'", argument.replace('\'', r"'\''"))
        }
    });
    std::iter::once("relax".to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

fn format_error(error: &Error, colour: bool, columns: Option<usize>) -> String {
    let mut text = format!("error: {error}\n");
    if let Some(hint) = error.hint() {
        text.push_str(&format!("  hint: {hint}\n"));
    }
    if let Some(columns) = columns {
        text = wrap(&text, columns);
    }
    if colour {
        for (label, code) in [("error:", "1;31"), ("\n  hint:", "1;36")] {
            text = text.replacen(label, &format!("\x1b[{code}m{label}\x1b[0m"), 1);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_hint_below() {
        let error = Error::input("x is wrong").with_hint("y is right");
        assert_eq!(format_error(&error, false, None), "error: x is wrong\n  hint: y is right\n");
        assert!(format_error(&error, true, None).starts_with("\x1b[1;31merror:\x1b[0m x is wrong"));
        assert!(format_error(&error, true, None).contains("hint:\x1b[0m y"));
        assert_eq!(format_error(&Error::runtime("z"), false, None), "error: z\n");
        let long = Error::input("x is as wrong as it could be").with_hint("y and z and all that is right");
        let text =
            "error: x is as wrong\n  as it could be\n  hint: y and z and\n    all that is\n    right\n";
        assert_eq!(format_error(&long, false, Some(20)), text);
    }
}
