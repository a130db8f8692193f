//! What commands print: results on standard output, errors and hints on standard error.

use std::io::{self, ErrorKind, IsTerminal, Write};

use relax_runtime::Error;

/// Prints `text` on standard output. A reader that has gone away (`relax … | head`) is not an error.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::io("write", "standard output", error))
        }
        _ => Ok(()),
    }
}

/// Prints an error and what to do next, as cargo does.
pub(super) fn error(error: &Error) {
    let colour =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let _ = io::stderr().write_all(format_error(error, colour).as_bytes());
}

/// Prints a line for people on standard error.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
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

fn format_error(error: &Error, colour: bool) -> String {
    let paint = |text: &str, code: &str| {
        if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    };
    let mut text = format!("{} {error}\n", paint("error:", "1;31"));
    if let Some(hint) = error.hint() {
        text.push_str(&format!("  {} {hint}\n", paint("hint:", "1;36")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_hint_below() {
        let error = Error::input("x is wrong").with_hint("y is right");
        assert_eq!(format_error(&error, false), "error: x is wrong\n  hint: y is right\n");
        assert!(format_error(&error, true).starts_with("\x1b[1;31merror:\x1b[0m x is wrong"));
        assert_eq!(format_error(&Error::runtime("z"), false), "error: z\n");
    }
}
